/** Says which mechanism holds each limit. A limit that the engine cannot hold refuses the launch. */
import { HostError, LaunchError } from "../../base/errors.ts";
import type { EngineInfo } from "../../engine/schemas.ts";
import type { LimitReport, LimitsPlan } from "../contract.ts";
import { GVISOR } from "./runtime.ts";

/** Tasks of our own in the guest (the shell, Node's threads) that its group counts too. */
const OWN_TASKS = 16;
/** The same with gVisor, whose own threads are in the group as well: with 50 less it does not start on two processors. */
const GVISOR_TASKS = 112;
/** Below these a guest may be too small for its first process; they only decide what is advised. */
const TIGHT = { memoryBytes: 64 * 1024 ** 2, processes: 32 } as const;

/** Tasks that the limit on processes must leave room for. */
export function ownTasks(runtime: string): number {
  return runtime === GVISOR ? GVISOR_TASKS : OWN_TASKS;
}

/** Points to the bottle's limits where a container that has narrow ones could not start. */
export function adviseLimits(error: unknown, limits: LimitsPlan): unknown {
  const isOurs = error instanceof LaunchError && error.hint === undefined;
  if (!isOurs || (error.code !== "launch.backend" && error.code !== "launch.guest-init"))
    return error;
  const { memoryBytes, processes, cpus } = limits;
  const said = [
    ...(memoryBytes !== undefined && memoryBytes < TIGHT.memoryBytes
      ? [`memory ${Math.ceil(memoryBytes / 1024 ** 2)}MiB`]
      : []),
    ...(processes !== undefined && processes < TIGHT.processes ? [`processes ${processes}`] : []),
    ...(cpus === undefined ? [] : [`cpus ${cpus}`]),
  ];
  if (said.length === 0) return error;
  return new LaunchError(error.code, error.message, {
    cause: error,
    details: error.details,
    hint: `change limits in the bottle file, which are ${said.join(", ")}`,
  });
}

/** Under gVisor the group counts what gVisor makes of a guest's processes. */
function withThreads(by: string, runtime: string): string {
  return by === "none" || runtime !== GVISOR ? by : `${by}, gVisor's own threads included`;
}

/** Throws HostError `host.limit-unavailable`. */
export function chooseLimits(limits: LimitsPlan, info: EngineInfo, runtime: string): LimitReport {
  const by = info.CgroupVersion === "2" ? "cgroup v2" : "cgroup v1";
  const held = (name: string, limit: number | undefined, isHeld: boolean): string => {
    if (limit === undefined) return "none";
    if (isHeld) return by;
    throw new HostError(
      "host.limit-unavailable",
      `limits.${name} cannot be held: the container engine has no control group for it`,
      { hint: `remove limits.${name} from the bottle file, or see docker info` },
    );
  };
  return {
    memory: held("memory", limits.memoryBytes, info.MemoryLimit),
    processes: withThreads(held("processes", limits.processes, info.PidsLimit), runtime),
    cpus: held("cpus", limits.cpus, info.CpuCfsQuota),
  };
}
