/** What an engine's refusal or absence looks like to the user: the engine's own words are always in it. */
import { BottleError, HostError, LaunchError, messageOf, systemCode } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import type { EngineEndpoint } from "./contract.ts";

/** Longest message of the engine's that we repeat. */
const MAX_MESSAGE = 4_000;

/** How an endpoint is named to people. */
export function describeEndpoint(endpoint: EngineEndpoint): string {
  return endpoint.kind === "unix" ? endpoint.path : `tcp://${endpoint.host}:${endpoint.port}`;
}

/** A refusal of the engine; without a status it came in the middle of an answer. `what` says what was asked: `creating container "x"`. */
export function engineRefusal(what: string, status: number | undefined, body: string): BottleError {
  const said = engineMessage(body);
  const suffix = status === undefined ? "" : ` (status ${status})`;
  const message = `${what} failed: the container engine says "${said}"${suffix}`;
  const details = { status, engine: said };
  if (/no space left on device/i.test(said)) {
    const hint = "free space where the engine keeps its data, see docker system df";
    return new HostError("host.disk-full", message, { details, hint });
  }
  return new LaunchError("launch.backend", message, { details });
}

/** Status of the engine's refusal that an error carries, or undefined when it is something else. */
export function engineStatus(error: unknown): number | undefined {
  const status = error instanceof BottleError ? error.details["status"] : undefined;
  return typeof status === "number" ? status : undefined;
}

/** The connection failed, or broke before an answer. */
export function engineUnreachable(
  what: string,
  endpoint: EngineEndpoint,
  cause: unknown,
): HostError {
  const code = systemCode(cause);
  const where = `${describeEndpoint(endpoint)} (${endpoint.source})`;
  return new HostError(
    "host.backend-unavailable",
    `${what} failed: the container engine at ${where} cannot be reached: ${messageOf(cause)}`,
    { cause, details: { code }, hint: hintFor(code, endpoint) },
  );
}

function hintFor(code: string | undefined, endpoint: EngineEndpoint): string {
  if (code === "EACCES" || code === "EPERM")
    return 'run sudo usermod -aG docker "$USER", then log in again: members of the group docker may use the engine';
  if (code === "ECONNREFUSED")
    return "start the container engine: sudo systemctl start docker, or open Docker Desktop";
  if (code === "ENOENT")
    return "install and start Docker Engine, or set DOCKER_HOST to where yours listens";
  return endpoint.kind === "tcp"
    ? "check DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"
    : "see whether docker version answers";
}

/** The `message` of an error body; engines and proxies before them also answer plain text. */
function engineMessage(body: string): string {
  const text = body.trim();
  const said = messageIn(text) ?? text;
  return said === "" ? "no reason given" : said.slice(0, MAX_MESSAGE);
}

function messageIn(text: string): string | undefined {
  try {
    const value = parseJson(text);
    if (typeof value !== "object" || value === null || !("message" in value)) return undefined;
    return String(value.message);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}
