/** How a login that an agent keeps on the operator's machine is read. It is read only: whoever logged in there renews it there. */
import { parseJson } from "../base/json.ts";
import { Secret } from "../base/secret.ts";

/** Where an agent keeps its login, and what is in it. */
export interface HostLoginSource {
  /** Relative to the operator's home. */
  readonly file: string;
  /** Variable of the agent that names another directory, and the file's name there. */
  readonly directoryVariable: string;
  readonly fileName: string;
  /** What the operator does when the login is missing or has run out. */
  readonly renewal: string;
  /** Parses the file's text. */
  parse(text: string): ParsedHostLogin;
}

/** A login, or why there is none; `reason` continues "the login …" and holds nothing of the file. */
export type ParsedHostLogin =
  | { readonly ok: true; readonly token: Secret; readonly login: HostLogin }
  | { readonly ok: false; readonly reason: string };

/** What may be known of a login without its value. */
export interface HostLogin {
  /** End of the token in milliseconds since the epoch. */
  readonly expiresAtMs: number;
  /** What the agent needs to know of its account; identifiers, never a credential. */
  readonly account: Readonly<Record<string, string>>;
}

/** Longest token taken. */
const MAX_TOKEN_LENGTH = 16_384;

/** Parses JSON text; undefined when it is none. */
export function parseLoginFile(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** A field of parsed JSON; undefined where there is none. */
export function fieldOf(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (node, name) =>
      typeof node === "object" && node !== null && Object.hasOwn(node, name)
        ? Reflect.get(node, name)
        : undefined,
    value,
  );
}

/** A token's text in a secret; undefined where it cannot be one. */
export function tokenSecret(name: string, value: unknown): Secret | undefined {
  const isToken =
    typeof value === "string" &&
    value.length >= 8 &&
    value.length <= MAX_TOKEN_LENGTH &&
    /^[\x21-\x7e]+$/.test(value);
  return isToken ? new Secret(name, value) : undefined;
}

/** The claims of a JSON web token; its signature is its receiver's business. */
export function readClaims(token: unknown): unknown {
  if (typeof token !== "string") return undefined;
  const payload = token.split(".")[1];
  return payload === undefined
    ? undefined
    : parseLoginFile(Buffer.from(payload, "base64url").toString("utf8"));
}
