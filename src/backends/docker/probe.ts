/** Looks at the container engine for `doctor`: what it is, what its containers can reach, and what to do where it is not there. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BottleError, messageOf } from "../../base/errors.ts";
import { parseHostPath } from "../../base/ids.ts";
import { Scope } from "../../base/scope.ts";
import type { Engine } from "../../engine/contract.ts";
import { openEngine } from "../../engine/engine.ts";
import { describeEndpoint } from "../../engine/failure.ts";
import type { EngineInfo } from "../../engine/schemas.ts";
import { readBootId } from "../../process/identity.ts";
import type { BackendPorts, BackendProbe } from "../contract.ts";
import { describeInternal, readFilters } from "./broadcast-guard.ts";
import { GVISOR, runtimeHint } from "./runtime.ts";
import { probeSockets, type SocketAnswer } from "./socket-probe.ts";

/** Probes the engine with containers that are removed again. Never throws for a machine without one. */
export async function probeDocker(ports: BackendPorts): Promise<BackendProbe> {
  try {
    using engine = await openEngine(ports.env);
    const [version, info] = await Promise.all([engine.version(), engine.info()]);
    return {
      name: "docker",
      isAvailable: true,
      version: version.Version,
      reason: undefined,
      hint: undefined,
      capabilities: await capabilitiesOf(engine, info),
    };
  } catch (error) {
    if (!(error instanceof BottleError)) throw error;
    return {
      ...{ name: "docker", isAvailable: false, version: undefined },
      ...{ reason: messageOf(error), hint: error.hint, capabilities: {} },
    };
  }
}

async function capabilitiesOf(
  engine: Engine,
  info: EngineInfo,
): Promise<Readonly<Record<string, string>>> {
  await using scope = new Scope();
  // Asked anew each time: who calls doctor wants to know what is, not what was.
  const directory = mkdtempSync(join(tmpdir(), "bot-bottle-doctor-"));
  scope.defer("doctor's cache", () => rmSync(directory, { recursive: true, force: true }));
  const input = { engine, info, cacheDir: parseHostPath(directory) };
  const sockets = await probeSockets({ ...input, runtime: undefined });
  const hasGvisor = info.Runtimes[GVISOR] !== undefined;
  const gvisor = hasGvisor ? await probeSockets({ ...input, runtime: GVISOR }) : undefined;
  return {
    endpoint: `${describeEndpoint(engine.endpoint)} (${engine.endpoint.source})`,
    api: engine.apiVersion,
    storage: info.Driver,
    cgroup: `v${info.CgroupVersion} (${info.CgroupDriver})`,
    runtimes: Object.keys(info.Runtimes).join(", "),
    "shares kernel": describeKernel(sockets),
    attachment: sockets.isReached
      ? "sockets"
      : `internal: a bound socket was not reached: ${sockets.reason}`,
    internal: describeInternal({
      isRoot: process.getuid?.() === 0,
      isThisMachine: sockets.isReached && sockets.bootId === readBootId(),
      ...readFilters(),
    }),
    gvisor: describeGvisor(gvisor, info),
  };
}

function describeKernel({ isReached, bootId }: SocketAnswer): string {
  if (!isReached) return "no";
  return bootId === readBootId() ? "yes: same boot id" : "yes, with another boot id";
}

function describeGvisor(answer: SocketAnswer | undefined, info: EngineInfo): string {
  if (answer === undefined) return `not registered; ${runtimeHint(GVISOR, info)}`;
  if (answer.isReached)
    return "used for every bottle: its containers reach bound sockets; limits.processes counts gVisor's own threads, too";
  return `not used: ${answer.reason}; ${runtimeHint(GVISOR, info)}`;
}
