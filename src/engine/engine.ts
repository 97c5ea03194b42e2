/** Opens an engine: finds its endpoint, agrees on a version of the API, and hands out its calls. */
import { HostError } from "../base/errors.ts";
import { openContainers, openExecs } from "./containers.ts";
import type { CallOptions, Engine, EngineEndpoint } from "./contract.ts";
import { resolveEndpoint } from "./endpoint.ts";
import { openImages } from "./images.ts";
import { openNetworks } from "./networks.ts";
import { Recent } from "./recent.ts";
import { type EngineInfo, infoSchema, versionSchema } from "./schemas.ts";
import { Transport } from "./transport.ts";

/** Engine 20.10; older ones lack what confines a container. */
const MIN_API = "1.41";
/** The newest version that was read when this was written; newer engines still speak it. */
const MAX_API = "1.47";
/** Time for an engine to say that it is there. */
const PING_MS = 10_000;
const versions = new Recent<string>();
const infos = new Recent<EngineInfo>();
const VERSION = /^(\d{1,3})\.(\d{1,3})$/;

/**
 * Opens the engine that the operator's environment names. Throws HostError `host.backend-unavailable` with a remedy, TimeoutError,
 * or the signal's reason.
 */
export async function openEngine(
  env: Readonly<Record<string, string | undefined>>,
  options: CallOptions = {},
): Promise<Engine> {
  return openEngineAt(resolveEndpoint(env), options);
}

/** Opens the engine at a known endpoint. */
export async function openEngineAt(
  endpoint: EngineEndpoint,
  options: CallOptions = {},
): Promise<Engine> {
  const transport = await Transport.create(endpoint);
  try {
    const apiVersion = await versions.get(endpoint, () => negotiate(transport, options));
    transport.prefix = `/v${apiVersion}`;
    return engineOn(transport, apiVersion);
  } catch (error) {
    transport[Symbol.dispose]();
    throw error;
  }
}

function engineOn(transport: Transport, apiVersion: string): Engine {
  return {
    endpoint: transport.endpoint,
    apiVersion,
    version: (options) =>
      transport.json(
        { ...options, what: "asking for the engine's version", method: "GET", path: "/version" },
        versionSchema,
      ),
    info: (options) => {
      const call = { ...options, what: "asking the engine about itself", path: "/info" };
      return infos.get(transport.endpoint, () =>
        transport.json({ ...call, method: "GET" }, infoSchema),
      );
    },
    containers: openContainers(transport),
    execs: openExecs(transport),
    networks: openNetworks(transport),
    images: openImages(transport),
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}

async function negotiate(transport: Transport, options: CallOptions): Promise<string> {
  const { headers } = await transport.call({
    timeoutMs: PING_MS,
    ...options,
    what: "asking for the container engine",
    method: "GET",
    path: "/_ping",
  });
  const offered = String(headers["api-version"] ?? "");
  const minor = minorOf(offered);
  if (minor === undefined) throw tooOld(`it names no version of its API ("${offered}")`);
  if (minor < (minorOf(MIN_API) ?? 0)) throw tooOld(`it speaks API ${offered}`);
  return minor > (minorOf(MAX_API) ?? 0) ? MAX_API : offered;
}

/** Minor number of a version 1.x; later majors count as newer than all. */
function minorOf(version: string): number | undefined {
  const [, major, minor] = VERSION.exec(version) ?? [];
  if (major === undefined || minor === undefined || major === "0") return undefined;
  return major === "1" ? Number(minor) : Infinity;
}

function tooOld(why: string): HostError {
  return new HostError(
    "host.backend-unavailable",
    `the container engine cannot be used: ${why}; API ${MIN_API} or newer is expected`,
    { hint: "install Docker Engine 20.10 or newer" },
  );
}
