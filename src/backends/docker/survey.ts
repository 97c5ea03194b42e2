/** What planning must know of the engine: whether its containers reach sockets of this host, and which subnets are taken. */
import { HostError } from "../../base/errors.ts";
import type { Engine } from "../../engine/contract.ts";
import { openEngine } from "../../engine/engine.ts";
import type { EngineInfo } from "../../engine/schemas.ts";
import type { BackendPorts, BackendSurvey, SurveyRequest } from "../contract.ts";
import { hostSubnets } from "../shared/host-subnets.ts";
import { knownSockets, probeSockets, type SocketAnswer } from "./socket-probe.ts";

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
    const input = { engine, info: await engine.info(), request, onSkipped: ports.onSkipped };
    const { isReached, reason } = await askSockets(input);
    if (isReached) return { attachment: "sockets", takenSubnets: [] };
    if (request.attachment === "sockets") throw noSockets(reason);
  }
  return { attachment: "internal", takenSubnets: await takenSubnets(engine) };
}

interface SocketsInput {
  readonly engine: Engine;
  readonly info: EngineInfo;
  readonly request: SurveyRequest;
  readonly onSkipped: BackendPorts["onSkipped"];
}

async function askSockets({
  engine,
  info,
  request: { runtime, cacheDir },
  onSkipped,
}: SocketsInput): Promise<SocketAnswer> {
  // A runtime that is not there is refused by the launch, in words of its own.
  const known = runtime !== undefined && info.Runtimes[runtime] !== undefined ? runtime : undefined;
  const input = { engine, info, runtime: known, cacheDir };
  if (onSkipped === undefined) return probeSockets(input);
  const answer = knownSockets(input);
  if (answer !== undefined) return answer;
  onSkipped(
    "whether a container of this engine reaches a socket of the host, with a container that is removed again; attachment sockets is taken for granted",
  );
  return { isReached: true, bootId: "", reason: "" };
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
