/**
 * Whether a guest with attachment internal can be kept from being heard by this machine when it calls to all: by the kernel's filter
 * of addresses that could not be answered. Root sets it on each bottle's bridge; for others the machine's own setting stands.
 */
import { readFileSync } from "node:fs";
import { systemCode } from "../../base/errors.ts";

/** Drops what could not be answered on the same way; 0 drops nothing, 2 only what could not be answered at all. */
const STRICT = 1;
const CONF = "/proc/sys/net/ipv4/conf";

/** What the guard depends on. */
export interface GuardFacts {
  readonly isRoot: boolean;
  /** The engine's containers are on this kernel. */
  readonly isThisMachine: boolean;
  /** `rp_filter` of all interfaces, and of those that are made later; the larger of the two counts. */
  readonly all: number;
  readonly later: number;
}

/** Reads `rp_filter`; where it cannot be read it counts as off. */
export function readFilters(): Pick<GuardFacts, "all" | "later"> {
  return { all: readFilter("all"), later: readFilter("default") };
}

function readFilter(name: string): number {
  try {
    return Number(readFileSync(`${CONF}/${name}/rp_filter`, "utf8").trim());
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return 0;
  }
}

/** Says for people whether attachment internal works here, and what to do where it does not. Pure. */
export function describeInternal({ isRoot, isThisMachine, all, later }: GuardFacts): string {
  const rule = "net.ipv4.conf.default.rp_filter=1";
  if (!isThisMachine) return `needs ${rule} on the engine's machine: each launch finds out`;
  if (all > STRICT)
    return refused("net.ipv4.conf.all.rp_filter is 2", `net.ipv4.conf.all.rp_filter=1 ${rule}`);
  if (isRoot) return "works: as root, the filter of broadcasts is set on each bottle's bridge";
  if (Math.max(all, later) === STRICT) return "works: this machine filters broadcasts itself";
  const why = `only root can keep this machine from hearing a guest's broadcasts, and rp_filter is ${later}`;
  return refused(why, rule);
}

const refused = (why: string, settings: string): string =>
  `refused at launch: ${why}; once as root: sysctl -w ${settings}`;
