/** Names: of bottles, agents, skills and variables. A name that is reserved for bot-bottle or the loader is refused. */
import { fault, ok, type Parsed } from "./parsed.ts";

/** Longest name of a bottle, agent or skill: it becomes part of a slug. */
export const MAX_NAME_LENGTH = 64;

const NAME = /^[a-z][a-z0-9-]*$/;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** True for a bottle's, agent's or skill's name. */
export function isName(text: string): boolean {
  return text.length <= MAX_NAME_LENGTH && NAME.test(text);
}

/** Parses the name of a bottle, agent, skill or provider. */
export function parseName(text: string): Parsed<string> {
  if (isName(text)) return ok(text);
  return fault(
    "is not a name",
    `a lower-case letter, then up to ${MAX_NAME_LENGTH - 1} letters, digits or hyphens`,
  );
}

/** Variables that bot-bottle sets in the guest, and why setting them would break a guarantee. */
const OURS = new Set(
  (
    "HTTP_PROXY HTTPS_PROXY WS_PROXY WSS_PROXY ALL_PROXY FTP_PROXY NO_PROXY GIT_GATE_URL MCP_SUPERVISE_URL " +
    "NODE_EXTRA_CA_CERTS DENO_CERT SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO " +
    "PIP_CERT CODEX_CA_CERTIFICATE CARGO_HTTP_CAINFO AWS_CA_BUNDLE NODE_USE_ENV_PROXY"
  ).split(" "),
);
const OURS_ANY_CASE = /_PROXY$/;
const FIXED = new Set(["HOME", "PWD", "SHLVL", "_"]);
const LOADER = /^(?:LD_|DYLD_|GCONV_PATH$|GLIBC_TUNABLES$)/;

/** Why a variable cannot be set by a manifest; undefined when it can. */
export function reservedVariable(name: string): string | undefined {
  const upper = name.toUpperCase();
  if (OURS.has(OURS_ANY_CASE.test(upper) ? upper : name)) return "is set by bot-bottle";
  if (FIXED.has(name)) return "is fixed in the guest";
  if (LOADER.test(name)) return "changes how programs are loaded";
  return undefined;
}

/** True for a variable's name. */
export function isVariable(text: string): boolean {
  return text.length <= 128 && VARIABLE.test(text);
}

const VARIABLE_EXPECTED = "a name of letters, digits and underscores";

/** Parses a key of `env:`. */
export function parseEnvName(text: string): Parsed<string> {
  if (!isVariable(text)) return fault("is not a variable's name", VARIABLE_EXPECTED);
  if (/^(?:BOT_BOTTLE_|EGRESS_TOKEN_)/.test(text))
    return fault("is reserved for bot-bottle", "another name");
  const reserved = reservedVariable(text);
  return reserved === undefined ? ok(text) : fault(reserved, "another name");
}

/** Parses the name of the host variable that holds a credential; it is also the guest's placeholder variable. */
export function parseTokenName(text: string): Parsed<string> {
  if (!isVariable(text)) {
    const hint = "write the name of the variable here, never the credential itself";
    return fault("is not a variable's name", VARIABLE_EXPECTED, hint);
  }
  if (/^(?:EGRESS_TOKEN_|BOT_BOTTLE_SLUG$)/.test(text))
    return fault("is reserved for bot-bottle", "another name");
  const reserved = text === "PATH" ? "is fixed in the guest" : reservedVariable(text);
  return reserved === undefined ? ok(text) : fault(reserved, "another name");
}
