/** Reads the login that an agent keeps on the operator's machine. It is only ever read; nothing of it is in an error. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { LaunchError, systemCode } from "../base/errors.ts";
import { type HostPath, parseHostPath } from "../base/ids.ts";
import type { HostLogin, HostLoginSource, ParsedHostLogin } from "../providers/host-login.ts";
import { providerNamed } from "../providers/registry.ts";
import type { Facts, HostLoginRef } from "./plan.ts";

/** Largest file that is taken for a login. */
const MAX_LOGIN_BYTES = 1024 * 1024;

/** A login with its value. */
export type ReadLogin = Extract<ParsedHostLogin, { ok: true }>;

/** Where a provider's login is, by the operator's own variables. */
export function hostLoginPath(
  source: HostLoginSource,
  userHome: HostPath,
  env: Readonly<Record<string, string | undefined>>,
): HostPath {
  const directory = env[source.directoryVariable];
  const isGiven = directory?.startsWith("/") === true;
  return parseHostPath(isGiven ? join(directory, source.fileName) : join(userHome, source.file));
}

/** Reads a login as it is now. Throws LaunchError `launch.host-login` that says who must log in where. */
export async function readHostLogin(
  ref: Pick<HostLoginRef, "provider" | "path">,
): Promise<ReadLogin> {
  const source = providerNamed(ref.provider)?.hostLogin;
  const refuse = (reason: string, hint?: string): LaunchError =>
    new LaunchError(
      "launch.host-login",
      `the login of ${ref.provider} cannot be used: ${ref.path} ${reason}`,
      { hint: hint ?? source?.renewal },
    );
  if (source === undefined) throw refuse("belongs to no agent that is known");
  const parsed = source.parse(await readText(ref.path, refuse));
  if (parsed.ok) return parsed;
  throw refuse(parsed.reason);
}

type Refuse = (reason: string, hint?: string) => LaunchError;

async function readText(path: string, refuse: Refuse): Promise<string> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const info = await file.stat();
    if (!info.isFile()) throw refuse("is not a regular file");
    if ((info.mode & 0o077) !== 0) throw refuse("can be read by others", `chmod 600 ${path}`);
    if (info.size > MAX_LOGIN_BYTES) throw refuse(`is larger than ${MAX_LOGIN_BYTES} bytes`);
    return await file.readFile("utf8");
  } catch (error) {
    if (error instanceof LaunchError) throw error;
    const code = systemCode(error);
    throw refuse(code === "ENOENT" ? "does not exist" : `cannot be opened: ${code ?? "unknown"}`);
  }
}

/** Refuses a login that has run out. */
export function requireValid(
  { provider, path }: HostLoginRef,
  login: HostLogin,
  nowMs: number,
): void {
  if (login.expiresAtMs > nowMs) return;
  const ended = new Date(login.expiresAtMs).toISOString();
  throw new LaunchError(
    "launch.host-login",
    `the login of ${provider} cannot be used: ${path} has run out at ${ended}`,
    { hint: `${providerNamed(provider)?.hostLogin?.renewal ?? "log in again"}, then start again` },
  );
}

/** What planning needs to know of the login: where it is, and whether it can be used. */
export async function probeHostLogin(
  provider: string,
  place: {
    readonly userHome: HostPath;
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly nowMs: number;
  },
): Promise<Facts["hostLogin"]> {
  const source = providerNamed(provider)?.hostLogin;
  if (source === undefined) return undefined;
  const path = hostLoginPath(source, place.userHome, place.env);
  const ref: HostLoginRef = { kind: "host-login", name: `${provider} login`, provider, path };
  try {
    const { login } = await readHostLogin(ref);
    requireValid(ref, login, place.nowMs);
    return { ref, login };
  } catch (error) {
    if (error instanceof LaunchError) return { ref, fault: error };
    throw error;
  }
}
