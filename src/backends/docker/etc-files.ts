/**
 * Single files of the guest's /etc that replace the image's. They are bound, so each exists before the container does and is
 * filled in place; everything else of /etc is the image's own.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { LaunchError, messageOf, systemCode } from "../../base/errors.ts";
import type { GuestPlan } from "../contract.ts";
import type { EtcFile } from "./render.ts";

/** What the launch fills, relative to /etc. */
const FILLED = [
  "hosts",
  "hostname",
  "resolv.conf",
  "gitconfig",
  "ssl/bot-bottle-ca.pem",
  "ssl/certs/ca-certificates.crt",
] as const;
/** Kept apart from what the launch writes, which is for another uid. */
const ACCOUNTS = "accounts";
const NAME = "node";

/** Makes the files and says where they go. Throws LaunchError `launch.backend`. */
export function prepareEtcFiles(plan: GuestPlan, uid: number, gid: number): readonly EtcFile[] {
  try {
    for (const name of FILLED) touch(join(plan.etcDir, name));
    const accounts = renderAccounts(plan, uid, gid);
    for (const [name, text] of Object.entries(accounts)) {
      const path = join(plan.etcDir, ACCOUNTS, name);
      mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
      writeFileSync(path, text, { mode: 0o644 });
    }
    return [
      ...FILLED.map((name) => etcFile(join(plan.etcDir, name), name)),
      ...Object.keys(accounts).map((name) => etcFile(join(plan.etcDir, ACCOUNTS, name), name)),
    ];
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    const message = `the guest's /etc could not be prepared: ${messageOf(error)}`;
    throw new LaunchError("launch.backend", message, { cause: error });
  }
}

/** The guest's user has the uid that its files have on the host: nothing maps one to the other. Pure. */
export function renderAccounts(
  plan: Pick<GuestPlan, "guestHome">,
  uid: number,
  gid: number,
): Readonly<Record<"passwd" | "group", string>> {
  return {
    passwd: [
      "root:x:0:0:root:/root:/usr/sbin/nologin",
      `${NAME}:x:${uid}:${gid}:${NAME}:${plan.guestHome}:/bin/bash`,
      ...(uid === 65534 ? [] : ["nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"]),
      "",
    ].join("\n"),
    group: ["root:x:0:", "tty:x:5:", `${NAME}:x:${gid}:`, "nogroup:x:65534:", ""].join("\n"),
  };
}

function touch(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, "", { mode: 0o644, flag: "a" });
}

function etcFile(hostPath: string, name: string): EtcFile {
  return { hostPath, guestPath: `/etc/${name}` };
}
