/**
 * Where the container engine is, found as the docker command finds it: DOCKER_HOST, then DOCKER_CONTEXT, then the current
 * context of its configuration, then the default socket. What we cannot speak to is refused, never replaced by another engine.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod/mini";
import { HostError, messageOf, systemCode } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import type { EngineEndpoint, EngineTls } from "./contract.ts";

const DEFAULT_SOCKET = "/var/run/docker.sock";
const TLS_PORT = 2376;
const PLAIN_PORT = 2375;
/** Configuration files of the docker command are small; a larger one is not one of them. */
const MAX_CONFIG_BYTES: number = 1024 * 1024;

type Env = Readonly<Record<string, string | undefined>>;

/** Finds the endpoint. Throws HostError `host.backend-unavailable` for ssh:// and for what cannot be read or understood. */
export function resolveEndpoint(env: Env): EngineEndpoint {
  const host = env["DOCKER_HOST"];
  if (host !== undefined && host !== "")
    return parseHost({ host, source: "DOCKER_HOST", tls: tlsOfEnv(env) });
  const [context, source] = contextName(env);
  if (context !== undefined && context !== "default") return readContext(env, context, source);
  return defaultEndpoint(env);
}

interface GivenHost {
  readonly host: string;
  readonly source: string;
  readonly tls: EngineTls | undefined;
}

function parseHost(given: GivenHost): EngineEndpoint {
  const { host, source } = given;
  if (host.startsWith("unix://")) {
    const path = host.slice("unix://".length);
    if (!path.startsWith("/")) throw unusable(given, "unix:// needs an absolute path");
    return { kind: "unix", path, source };
  }
  if (host.startsWith("tcp://") || host.startsWith("http://") || host.startsWith("https://"))
    return parseTcp(given);
  if (host.startsWith("ssh://")) {
    throw unusable(
      given,
      "engines over ssh:// are not spoken to, because a bottle's directories are not on that machine",
      "run bot-bottle on the machine of the engine, or unset DOCKER_HOST or choose a local context with docker context use default",
    );
  }
  throw unusable(given, "unix:///path or tcp://host:port is expected");
}

function parseTcp(given: GivenHost): EngineEndpoint {
  const url = URL.parse(given.host.replace(/^tcp:/, "http:"));
  if (url === null || url.hostname === "") throw unusable(given, "tcp://host:port is expected");
  const { source } = given;
  const isTls = given.tls !== undefined || given.host.startsWith("https://");
  const tls: EngineTls | undefined = isTls
    ? (given.tls ?? { caFile: undefined, certFile: undefined, keyFile: undefined, verify: true })
    : undefined;
  const port = url.port === "" ? (isTls ? TLS_PORT : PLAIN_PORT) : Number(url.port);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return { kind: "tcp", host, port, tls, source };
}

/** DOCKER_TLS_VERIFY, set to anything but the empty string, asks for TLS; its files lie in DOCKER_CERT_PATH. */
function tlsOfEnv(env: Env): EngineTls | undefined {
  const verify = env["DOCKER_TLS_VERIFY"] ?? "";
  const isAsked = verify !== "" || (env["DOCKER_TLS"] ?? "") !== "";
  return isAsked ? tlsIn(env["DOCKER_CERT_PATH"] ?? configDir(env), verify !== "") : undefined;
}

function tlsIn(directory: string | undefined, verify: boolean): EngineTls {
  const fileIfThere = (name: string): string | undefined => {
    const path = directory === undefined ? undefined : join(directory, name);
    return path !== undefined && existsSync(path) ? path : undefined;
  };
  return {
    caFile: fileIfThere("ca.pem"),
    certFile: fileIfThere("cert.pem"),
    keyFile: fileIfThere("key.pem"),
    verify,
  };
}

function configDir(env: Env): string | undefined {
  const given = env["DOCKER_CONFIG"];
  if (given !== undefined && given !== "") return given;
  const home = env["HOME"];
  return home === undefined || home === "" ? undefined : join(home, ".docker");
}

const configSchema = z.object({ currentContext: z.optional(z.string()) });

function contextName(env: Env): [name: string | undefined, source: string] {
  const given = env["DOCKER_CONTEXT"];
  if (given !== undefined && given !== "") return [given, "DOCKER_CONTEXT"];
  const directory = configDir(env);
  if (directory === undefined) return [undefined, "default"];
  const file = join(directory, "config.json");
  const text = readIfThere(file);
  if (text === undefined) return [undefined, "default"];
  return [parseFile(file, text, configSchema).currentContext, `current context in ${file}`];
}

const contextSchema = z.object({
  Endpoints: z.object({
    docker: z.object({
      Host: z.optional(z.string()),
      SkipTLSVerify: z.optional(z.boolean()),
    }),
  }),
});

function readContext(env: Env, name: string, source: string): EngineEndpoint {
  const directory = configDir(env) ?? "";
  const digest = createHash("sha256").update(name).digest("hex");
  const file = join(directory, "contexts", "meta", digest, "meta.json");
  const text = readIfThere(file);
  if (text === undefined) {
    throw new HostError(
      "host.backend-unavailable",
      `the docker context "${name}" (${source}) does not exist: no ${file}`,
      { hint: "choose one of docker context ls, or unset DOCKER_CONTEXT" },
    );
  }
  const { Host, SkipTLSVerify } = parseFile(file, text, contextSchema).Endpoints.docker;
  const where = `docker context "${name}", ${source}`;
  if (Host === undefined || Host === "") return defaultEndpoint(env);
  const tlsDir = join(directory, "contexts", "tls", digest, "docker");
  const tls = existsSync(tlsDir) ? tlsIn(tlsDir, SkipTLSVerify !== true) : undefined;
  return parseHost({ host: Host, source: where, tls });
}

/** The system's socket, else one of an engine that runs as the user or in Docker Desktop's machine. */
function defaultEndpoint(env: Env): EngineEndpoint {
  const home = env["HOME"];
  const runtimeDir = env["XDG_RUNTIME_DIR"];
  const candidates = [
    DEFAULT_SOCKET,
    ...(runtimeDir === undefined ? [] : [join(runtimeDir, "docker.sock")]),
    ...(home === undefined ? [] : [join(home, ".docker", "run", "docker.sock")]),
  ];
  const path = candidates.find((candidate) => existsSync(candidate)) ?? DEFAULT_SOCKET;
  return { kind: "unix", path, source: "default" };
}

function readIfThere(file: string): string | undefined {
  try {
    const bytes = readFileSync(file);
    if (bytes.length > MAX_CONFIG_BYTES) throw unreadable(file, `${bytes.length} bytes`);
    return bytes.toString("utf8");
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error instanceof HostError ? error : unreadable(file, messageOf(error), error);
  }
}

function parseFile<T>(file: string, text: string, schema: z.ZodMiniType<T>): T {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw unreadable(file, messageOf(error), error);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw unreadable(file, "not what the docker command writes");
}

function unreadable(file: string, why: string, cause?: unknown): HostError {
  return new HostError("host.backend-unavailable", `${file} cannot be used: ${why}`, {
    cause,
    hint: "repair it, or set DOCKER_HOST",
  });
}

function unusable(given: GivenHost, why: string, hint?: string): HostError {
  const seen = `"${given.host}" (${given.source})`;
  return new HostError(
    "host.backend-unavailable",
    `the container engine ${seen} cannot be used: ${why}`,
    { hint: hint ?? "set DOCKER_HOST to unix:///var/run/docker.sock" },
  );
}
