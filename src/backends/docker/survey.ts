/** What planning must know of the engine: whether its containers reach sockets of this host, and which subnets are taken. */
import { HostError } from "../../base/errors.ts";
import type { Engine } from "../../engine/contract.ts";
import { openEngine } from "../../engine/engine.ts";
import type { EngineInfo } from "../../engine/schemas.ts";
import type { BackendPorts, BackendSurvey, SurveyRequest } from "../contract.ts";
import { hostSubnets } from "../shared/host-subnets.ts";
import { probeSockets } from "./socket-probe.ts";

/** Throws HostError `host.backend-unavailable` when the engine is not there, or not as it is asked for. */
export async function surveyDocker(
  request: SurveyRequest,
  ports: BackendPorts,
): Promise<BackendSurvey> {
  if (request.attachment === "tsi") {
    throw new HostError("host.backend-unavailable", "docker has no attachment tsi", {
      hint: "write attachment: auto into the bottle file",
    });
  }
  using engine = await openEngine(ports.env);
  if (request.attachment !== "internal") {
    const { isReached, reason } = await askSockets(engine, await engine.info(), request);
    if (isReached) return { attachment: "sockets", takenSubnets: [] };
    if (request.attachment === "sockets") throw noSockets(reason);
  }
  return { attachment: "internal", takenSubnets: await takenSubnets(engine) };
}

function askSockets(
  engine: Engine,
  info: EngineInfo,
  { runtime, cacheDir }: SurveyRequest,
): ReturnType<typeof probeSockets> {
  // A runtime that is not there is refused by the launch, in words of its own.
  const known = runtime !== undefined && info.Runtimes[runtime] !== undefined ? runtime : undefined;
  return probeSockets({ engine, info, runtime: known, cacheDir });
}

function noSockets(reason: string): HostError {
  return new HostError(
    "host.backend-unavailable",
    `attachment sockets does not work with this container engine: a bound socket was not reached: ${reason}`,
    { hint: "write attachment: auto into the bottle file" },
  );
}

async function takenSubnets(engine: Engine): Promise<readonly string[]> {
  const networks = await engine.networks.list({});
  const known = networks.flatMap(({ IPAM }) => IPAM.Config.map(({ Subnet }) => Subnet));
  return [...new Set([...known, ...hostSubnets()])].filter((it) => it !== "");
}
