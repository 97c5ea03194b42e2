/**
 * Aliases of the host's loopback, 127.0.0.16 to 127.0.0.31, one for each bottle whose guest is filtered by address only.
 * Invariant: an alias is one running bundle's alone; what is in use is read from the engine's own bindings.
 */
import { networkInterfaces } from "node:os";
import { HostError, LaunchError } from "../base/errors.ts";
import type { Engine } from "../engine/contract.ts";
import { helperEnv } from "../process/env.ts";
import type { Exec } from "../process/exec.ts";
import { readListeners } from "../process/listeners.ts";

const FIRST = 16;
const LAST = 31;

/** All aliases, lowest first. */
export const LOOPBACK_ALIASES: readonly string[] = Array.from(
  { length: LAST - FIRST + 1 },
  (_, index) => `127.0.0.${FIRST + index}`,
);

/** The lowest alias that is not in use. Throws LaunchError `launch.backend`. Pure. */
export function chooseAlias(used: Iterable<string>): string {
  const taken = new Set(used);
  const free = LOOPBACK_ALIASES.find((alias) => !taken.has(alias));
  if (free !== undefined) return free;
  throw new LaunchError(
    "launch.backend",
    `every alias of the loopback is in use: ${LOOPBACK_ALIASES[0]} to ${LOOPBACK_ALIASES.at(-1)}`,
    { hint: "stop a bottle, or use another attachment" },
  );
}

/** Addresses on which containers other than `own` have published ports. */
export async function publishedAddresses(
  engine: Engine,
  own: string | undefined,
): Promise<readonly string[]> {
  const containers = await engine.containers.list({});
  return containers
    .filter(({ Names }) => own === undefined || !Names.includes(`/${own}`))
    .flatMap(({ Ports }) => Ports.map(({ IP }) => IP));
}

/** Addresses of the loopback on which anything of this machine listens. */
export function listeningAddresses(): readonly string[] {
  return (readListeners() ?? []).map(({ address }) => address);
}

/** What {@link ensureAliases} needs of the machine. */
export interface AliasPorts {
  readonly exec: Exec;
  readonly searchPath: string;
  readonly platform?: NodeJS.Platform;
  /** Addresses that the loopback has. */
  readonly present?: readonly string[];
}

/**
 * Makes the aliases where the system has none by itself: on macOS one command of sudo for all that are missing, which last until
 * the machine is switched off. Elsewhere the whole of 127.0.0.0/8 is local. Throws HostError `host.backend-unavailable`.
 */
export async function ensureAliases(ports: AliasPorts): Promise<void> {
  const { platform = process.platform, present = presentAddresses() } = ports;
  if (platform !== "darwin") return;
  const missing = LOOPBACK_ALIASES.filter((alias) => !present.includes(alias));
  if (missing.length === 0) return;
  const script = missing.map((alias) => `/sbin/ifconfig lo0 alias ${alias} up`).join(" && ");
  const child = await ports.exec.start(
    ["sudo", "-p", "bot-bottle: password to add aliases of the loopback: ", "sh", "-c", script],
    {
      env: helperEnv(ports.searchPath),
      stdio: ["inherit", "ignore", "inherit"],
      placement: "foreground",
      name: "sudo",
    },
  );
  const { exitCode } = await child.exited;
  if (exitCode === 0) return;
  throw new HostError(
    "host.backend-unavailable",
    `the loopback's aliases were not added: sudo ended with ${exitCode ?? "a signal"}`,
    { hint: `run it yourself: sudo sh -c '${script}'` },
  );
}

function presentAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((it) => it.address));
}
