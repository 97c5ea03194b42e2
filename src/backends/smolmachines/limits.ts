/** Which mechanism of a machine holds each limit. A limit that none can hold refuses the launch. Pure. */
import { HostError } from "../../base/errors.ts";
import type { LimitReport, LimitsPlan } from "../contract.ts";

/** Least memory in which a guest with Node starts. */
const MIN_MEMORY_BYTES = 268_435_456;

/** Chooses for all limits. Throws HostError `host.limit-unavailable`. */
export function chooseLimits(limits: LimitsPlan): LimitReport {
  const { cpus, memoryBytes, processes } = limits;
  if (cpus !== undefined && cpus < 1) {
    throw new HostError(
      "host.limit-unavailable",
      `the limit on processors cannot be held: a machine has whole processors, and ${cpus} is less than one`,
      { hint: "set limits.cpus to 1 or more, or use another backend" },
    );
  }
  if (memoryBytes !== undefined && memoryBytes < MIN_MEMORY_BYTES) {
    throw new HostError(
      "host.limit-unavailable",
      `the limit on memory cannot be held: a machine with ${memoryBytes} bytes does not start; at least 256 MiB are expected`,
      { hint: "set limits.memory to 256MiB or more, or use another backend" },
    );
  }
  return {
    memory: memoryBytes === undefined ? "none" : "machine",
    processes: processes === undefined ? "none" : "rlimit",
    cpus: cpus === undefined ? "none" : "machine",
  };
}
