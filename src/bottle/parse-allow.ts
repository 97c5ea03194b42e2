/** Reads one `--allow host[:port]` by the rules of a bottle file's routes, and says what to write where it names no host. Pure. */
import { UsageError } from "../base/errors.ts";
import { type HostPort, parseEndpoint, parseRouteHost } from "../manifest/hosts.ts";
import { quote } from "../manifest/issues.ts";

const EXAMPLES = "for example --allow registry.example.com or --allow registry.example.com:8443";

/** The host that is granted. Throws UsageError. */
export function parseAllow(text: string): HostPort {
  if (text.includes("*")) throw wildcardError(text);
  const parsed = parseRouteHost(text);
  if (parsed.kind === "fault") {
    throw new UsageError(
      "usage.invalid",
      `--allow ${quote(text)} ${parsed.seen}; ${parsed.expected} is expected`,
      { hint: hintFor(text) },
    );
  }
  return parsed.value;
}

/** One message for every wildcard; where a bottle file would take it, that is said. */
function wildcardError(text: string): UsageError {
  const isRoute = parseRouteHost(text).kind === "ok";
  const route = `, or write "- host: '${text}'" under egress.routes of the bottle file`;
  return new UsageError(
    "usage.invalid",
    `--allow ${quote(text)} has a wildcard, which --allow does not take; one host by its whole name is expected`,
    { hint: `name the host, ${EXAMPLES}${isRoute ? route : ""}` },
  );
}

/** An address has no name that a certificate or a rule could speak of: the bottle file gives it one. */
function hintFor(text: string): string {
  const address = addressOf(text);
  if (address !== undefined) {
    return `give the address a name in the bottle file, egress.resolve: { my-host.internal: "${address}" }, then --allow my-host.internal`;
  }
  const host = urlHost(text);
  return host === undefined ? EXAMPLES : `--allow ${host}`;
}

function addressOf(text: string): string | undefined {
  const parsed = parseEndpoint(text);
  if (parsed.kind === "ok") return text;
  const local = /^(?:[^:]+\.)?localhost(:\d+)?$/i.exec(text);
  return local === null ? undefined : `127.0.0.1${local[1] ?? ""}`;
}

/** The host of what was pasted as a whole URL, where that alone would do. */
function urlHost(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const { protocol, host } = new URL(text);
  const isWeb = protocol === "https:" || protocol === "http:";
  return isWeb && parseRouteHost(host).kind === "ok" ? host : undefined;
}
