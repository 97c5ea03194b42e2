/**
 * Labels by which objects on a container engine say whose they are: which home's, and which process's. A home has a random name
 * of its own, because homes of two machines or containers that share an engine may have the same path.
 */
import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemCode } from "../base/errors.ts";
import { HOME_LABEL, OWNER_LABEL } from "../base/labels.ts";
import { makeDirectory } from "../base/make-directory.ts";
import { type Owner, readOwner } from "./identity.ts";

type Labels = Readonly<Record<string, string>>;

const FILE = "home-id";
const HOME_ID = /^[0-9a-f]{32}$/;
let writes = 0;

/** Labels of everything that this process makes on an engine for the home of this cache. */
export function ownershipLabels(cacheDir: string): Labels {
  const { pid, start_time, boot_id, pid_namespace } = readOwner();
  return {
    [HOME_LABEL]: openHomeId(cacheDir),
    [OWNER_LABEL]: `${pid} ${start_time} ${boot_id} ${pid_namespace}`,
  };
}

/** The home's name; undefined where nothing was ever made on an engine for it. */
export function readHomeId(cacheDir: string): string | undefined {
  try {
    const text = readFileSync(join(cacheDir, FILE), "utf8").trim();
    return HOME_ID.test(text) ? text : undefined;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

/** Makes the home's name once, whoever comes first. */
function openHomeId(cacheDir: string): string {
  const known = readHomeId(cacheDir);
  if (known !== undefined) return known;
  makeDirectory(cacheDir);
  const file = join(cacheDir, FILE);
  writes += 1;
  const temporary = join(cacheDir, `.${FILE}.${process.pid}.${writes}`);
  writeFileSync(temporary, `${randomBytes(16).toString("hex")}\n`, { mode: 0o600 });
  try {
    linkSync(temporary, file);
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
    // What cannot be read as a name is none.
    if (readHomeId(cacheDir) === undefined) rmSync(file, { force: true });
  } finally {
    rmSync(temporary, { force: true });
  }
  return readHomeId(cacheDir) ?? openHomeId(cacheDir);
}

/** The process that made what carries these labels; undefined where they do not say. */
export function readOwnerLabel(labels: Labels): Owner | undefined {
  const [pid = "", start_time = "", boot_id = "", pid_namespace = "", ...rest] = (
    labels[OWNER_LABEL] ?? ""
  ).split(" ");
  if (!/^[1-9]\d{0,9}$/.test(pid) || boot_id === "" || rest.length > 0) return undefined;
  return { pid: Number(pid), start_time, boot_id, pid_namespace };
}
