/** Upstreams of git-gate: SSH URLs and pinned host keys. Nothing in them may be read by ssh as an option. */
import { canonicalAddress, parsePort } from "../policy/resolution.ts";
import { parseHostName } from "./hosts.ts";
import { fault, hasControl, ok, type Parsed } from "./parsed.ts";

const EXPECTED = "a URL such as ssh://git@git.example.com/owner/repo.git";
const SSH = /^ssh:\/\/(?:([^@/]*)@)?(\[[^\]]*\]|[^:/@]*)(?::([^/]*))?(\/.*)$/;
const USER = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const PATH = /^\/[A-Za-z0-9._~][A-Za-z0-9._~/+@%-]*$/;

/** Parses the URL of an upstream; it is given back with its host in canonical form. */
export function parseGitUrl(text: string): Parsed<string> {
  if (isOdd(text)) return fault("is not a URL", EXPECTED);
  const match = SSH.exec(text);
  if (match === null) return notSsh(text);
  const [, user = "", name = "", port = "", path = ""] = match;
  const host = parseUpstreamHost(name);
  const problem = problemOf({ user, port, path });
  if (problem !== undefined || host === undefined) {
    return fault(problem ?? "has a host that is not one", EXPECTED);
  }
  const before = user === "" ? "" : `${user}@`;
  return ok(`ssh://${before}${host}${port === "" ? "" : `:${port}`}${path}`);
}

function isOdd(text: string): boolean {
  return hasControl(text) || /\s/.test(text) || text.length > 1024;
}

function problemOf(url: { user: string; port: string; path: string }): string | undefined {
  const { user, port, path } = url;
  if (user.includes(":")) return "holds a password";
  if (user !== "" && !USER.test(user)) return "has a user that is not one";
  if (port !== "" && parsePort(port) === undefined) return "has a port that is not one";
  if (!PATH.test(path) || path.split("/").includes("..")) return "has a path that is not one";
  return undefined;
}

function notSsh(text: string): Parsed<never> {
  const scp = /^([A-Za-z0-9._-]+@)?([A-Za-z0-9.-]+):(?!\/)([A-Za-z0-9._~/-]+)$/.exec(text);
  if (scp !== null) {
    return fault(
      "is in the short form",
      EXPECTED,
      `write ssh://${scp[1] ?? ""}${scp[2]}/${scp[3]}`,
    );
  }
  const hint = /^https?:/.test(text)
    ? "give the host a route with git: { fetch: true } instead"
    : undefined;
  return fault("is not an ssh URL", EXPECTED, hint);
}

/** A name, or an address: an upstream may be one, because git-gate and not the guest connects to it. */
function parseUpstreamHost(text: string): string | undefined {
  const address = text.startsWith("[") ? text.slice(1, -1) : text;
  const canonical = canonicalAddress(address);
  if (canonical !== undefined) return canonical.includes(":") ? `[${canonical}]` : canonical;
  if (text.startsWith("-")) return undefined;
  const host = parseHostName(text);
  return host.kind === "ok" ? host.value : undefined;
}

const KEY_EXPECTED = "a key type and its base64 text, as in a known_hosts line";
const KEY_TYPE =
  /^(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9-]+@openssh\.com)$/;

/** Parses a pinned host key, `<type> <base64>`; the type inside the key must be the one named. */
export function parseHostKey(text: string): Parsed<string> {
  const [type = "", encoded = "", ...rest] = text.trim().split(/ +/);
  if (rest.length > 0 || !KEY_TYPE.test(type)) return fault("is not a host key", KEY_EXPECTED);
  if (!/^[A-Za-z0-9+/]{40,}={0,2}$/.test(encoded)) return fault("is not a host key", KEY_EXPECTED);
  const blob = Buffer.from(encoded, "base64");
  const length = blob.readUInt32BE(0);
  if (blob.subarray(4, 4 + length).toString("latin1") !== type) {
    return fault("holds a key of another type than it names", KEY_EXPECTED);
  }
  return ok(`${type} ${encoded}`);
}

/** Parses the name of a repository on the gate. */
export function parseRepoName(text: string): Parsed<string> {
  const isFit = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(text) && !text.includes("..");
  if (isFit && !/\.(?:git|lock)$/i.test(text)) return ok(text);
  return fault(
    "is not a repository's name",
    "a name of letters, digits, dots, hyphens or underscores without .git",
  );
}
