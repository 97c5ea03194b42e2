/** Chooses the OCI runtime: the one that is asked for or none, else gVisor where its containers reach their doors. */
import { HostError } from "../../base/errors.ts";
import type { HostPath } from "../../base/ids.ts";
import type { Engine } from "../../engine/contract.ts";
import type { EngineInfo } from "../../engine/schemas.ts";
import type { AttachmentKind } from "../contract.ts";
import { probeSockets } from "./socket-probe.ts";

/** gVisor's name among an engine's runtimes. */
export const GVISOR = "runsc";
const NO_NETWORK = "--network=none";
/** What a gVisor must be registered with so that its containers reach sockets and have no network of their own. */
export const GVISOR_ARGS = ["--platform=systrap", NO_NETWORK, "--host-uds=open"] as const;

/** What is chosen from. */
export interface RuntimeInput {
  readonly engine: Engine;
  readonly info: EngineInfo;
  /** What the bottle asks for. */
  readonly asked: string | undefined;
  readonly attachment: AttachmentKind;
  readonly cacheDir: HostPath;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The runtime, undefined for the engine's default. Throws HostError `host.backend-unavailable` when the one that is asked for is
 * not there or does not let doors through: never is a weaker one taken instead.
 */
export async function chooseRuntime(input: RuntimeInput): Promise<string | undefined> {
  const { info, asked, attachment } = input;
  if (asked !== undefined) {
    if (info.Runtimes[asked] === undefined) throw notRegistered(asked, info);
    if (attachment === "sockets") await requireSockets(input, asked);
    else requireNetwork(asked, info);
    return asked;
  }
  if (attachment !== "sockets") requireNetwork(info.DefaultRuntime, info);
  if (attachment !== "sockets" || info.Runtimes[GVISOR] === undefined) return undefined;
  const { isReached } = await probeSockets({ ...input, runtime: GVISOR });
  return isReached ? GVISOR : undefined;
}

async function requireSockets(input: RuntimeInput, runtime: string): Promise<void> {
  const { isReached, reason } = await probeSockets({ ...input, runtime });
  if (isReached) return;
  throw new HostError(
    "host.backend-unavailable",
    `runtime ${runtime} does not let a container reach the bottle's doors: ${reason}`,
    { hint: runtimeHint(runtime, input.info) },
  );
}

/** gVisor that is registered for sockets gives its containers no network, which their bundle would be on. */
function requireNetwork(runtime: string, info: EngineInfo): void {
  const { runtimeArgs = [] } = info.Runtimes[runtime] ?? {};
  if (!runtimeArgs.includes(NO_NETWORK)) return;
  throw new HostError(
    "host.backend-unavailable",
    `runtime ${runtime} gives its containers no network: it is registered with ${NO_NETWORK}; attachment internal needs one`,
    {
      hint: `write runtime: runc into the bottle file, or register ${runtime} without ${NO_NETWORK}`,
    },
  );
}

function notRegistered(runtime: string, info: EngineInfo): HostError {
  const known = Object.keys(info.Runtimes).join(", ");
  return new HostError(
    "host.backend-unavailable",
    `runtime ${runtime} is not registered with the container engine, which has ${known}`,
    { hint: runtimeHint(runtime, info) },
  );
}

/** What to write into the engine's configuration. */
export function runtimeHint(runtime: string, info: EngineInfo): string {
  if (runtime !== GVISOR) return `register ${runtime} in /etc/docker/daemon.json`;
  const path = info.Runtimes[GVISOR]?.path ?? "/usr/local/bin/runsc";
  const line = JSON.stringify({ runtimes: { [GVISOR]: { path, runtimeArgs: GVISOR_ARGS } } });
  return `write ${line} into /etc/docker/daemon.json, then run sudo systemctl reload docker`;
}
