/** Says which mechanism holds each limit. A limit that the engine cannot hold refuses the launch. */
import { HostError } from "../../base/errors.ts";
import type { EngineInfo } from "../../engine/schemas.ts";
import type { LimitReport, LimitsPlan } from "../contract.ts";

/** Tasks of our own in the guest (the shell, Node's threads) that its group counts too. */
export const OWN_TASKS = 16;

/** Throws HostError `host.limit-unavailable`. */
export function chooseLimits(limits: LimitsPlan, info: EngineInfo): LimitReport {
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
    processes: held("processes", limits.processes, info.PidsLimit),
    cpus: held("cpus", limits.cpus, info.CpuCfsQuota),
  };
}
