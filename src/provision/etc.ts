/**
 * The guest's /etc where the backend shows the host's /usr instead of an image: small, the same on every host, without
 * names of the operator. Pure: relative path to text.
 */
import type { DoorPlan } from "../backends/contract.ts";

export interface EtcInput {
  readonly hostname: string;
  readonly doors: readonly DoorPlan[];
  /** Where the doors are; default 127.0.0.1, where guest-init's relays listen. */
  readonly doorAddress?: string | undefined;
  /** Default /home/node. */
  readonly guestHome?: string;
  /** Guest directories that git may use whoever owns them; default the workspace. */
  readonly gitDirectories?: readonly string[];
}

const LOOPBACK = "127.0.0.1";

/** The guest's user on every backend. */
export const GUEST_USER = { name: "node", uid: 1000, gid: 1000 } as const;

/** The files; CA files are added by the launch. There is no /etc/profile: it would reset PATH in login shells. */
export function guestEtc(input: EtcInput): Readonly<Record<string, string>> {
  const { name, uid, gid } = GUEST_USER;
  const { guestHome = `/home/${name}` } = input;
  return {
    passwd: text(
      "root:x:0:0:root:/root:/usr/sbin/nologin",
      `${name}:x:${uid}:${gid}:${name}:${guestHome}:/bin/bash`,
      "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
    ),
    group: text("root:x:0:", "tty:x:5:", `${name}:x:${gid}:`, "nogroup:x:65534:"),
    // Names come from files only, so that a lookup fails at once instead of waiting for a server.
    "nsswitch.conf": text(
      "passwd: files",
      "group: files",
      "shadow: files",
      "hosts: files",
      "networks: files",
      "protocols: files",
      "services: files",
    ),
    hosts: hostsText(input),
    hostname: text(input.hostname),
    "resolv.conf": text("options timeout:1 attempts:1"),
    shells: text("/bin/sh", "/bin/bash"),
    gitconfig: gitConfigText(input.gitDirectories ?? [`${guestHome}/workspace`]),
    // `openssl req` refuses to run without one.
    "ssl/openssl.cnf": text("[req]", "distinguished_name = dn", "[dn]"),
  };
}

function hostsText({ hostname, doors, doorAddress = LOOPBACK }: EtcInput): string {
  const names = new Map([
    [hostname, LOOPBACK],
    ...doors.map((it) => [it.hostname, doorAddress] as const),
  ]);
  names.delete("localhost");
  return text(
    `${LOOPBACK} localhost`,
    "::1 localhost ip6-localhost ip6-loopback",
    ...[...names].map(([name, address]) => `${address} ${name}`),
  );
}

function gitConfigText(directories: readonly string[]): string {
  return text(
    "[safe]",
    ...directories.map(
      (it) => `\tdirectory = "${it.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`,
    ),
    "[advice]",
    "\tdetachedHead = false",
  );
}

function text(...lines: string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
