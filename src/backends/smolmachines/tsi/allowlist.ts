/**
 * The filter of a machine, forced into smolvm's own records between create and start: this family accepts `--allow-cidr` with
 * `--from` and drops it. One row in one transaction, read back by another connection; anything unexpected refuses the machine.
 */
import { lchownSync, lstatSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import * as z from "zod/mini";
import { LaunchError, messageOf, systemCode } from "../../../base/errors.ts";
import type { HostPath } from "../../../base/ids.ts";
import { parseJson } from "../../../base/json.ts";

/** How long another process may hold the records. */
const BUSY_MS = 5_000;

const recordSchema = z.object({
  allowed_cidrs: z.nullish(z.array(z.string())),
  dns_filter_hosts: z.nullish(z.array(z.string())),
  network: z.boolean(),
  ports: z.nullish(z.array(z.unknown())),
});

/** The machine's row. */
export interface AllowlistRow {
  /** smolvm's database. */
  readonly file: string;
  readonly machine: string;
  /** Who owns smolvm's files; files that we leave beside the database would keep it out. */
  readonly owner: { readonly uid: number; readonly gid: number };
}

/** Where smolvm keeps its records below the directory that it takes for its home. */
export function databasePath(stateDir: HostPath, platform: NodeJS.Platform): string {
  const data = platform === "darwin" ? "Library/Application Support" : ".local/share";
  return join(stateDir, data, "smolvm/server/smolvm.db");
}

/** Writes the filter and reads it back. Throws LaunchError `launch.not-isolated`. */
export async function forceAllowlist(row: AllowlistRow, cidr: string): Promise<void> {
  await withDatabase(row, (database) => writeRow(database, row.machine, cidr));
  const faults = await findAllowlistFaults(row, cidr);
  if (faults.length > 0) throw refused(faults.join("; "));
}

/** What in the record differs from a machine that reaches this one address; empty when nothing. */
export async function findAllowlistFaults(
  row: AllowlistRow,
  cidr: string,
): Promise<readonly string[]> {
  const text = await withDatabase(row, (database) => readRow(database, row.machine));
  const record = parseRecord(text);
  if (record === undefined) return ["smolvm's record of the machine cannot be read"];
  const { allowed_cidrs: cidrs, dns_filter_hosts: hosts, network, ports } = record;
  return [
    ...(cidrs?.length === 1 && cidrs[0] === cidr
      ? []
      : [`its allowlist is ${describeList(cidrs)}, not ${cidr}`]),
    ...((hosts ?? []).length === 0 ? [] : [`names are allowed to it: ${hosts?.join(", ")}`]),
    ...(network ? [] : ["it has no network, and no way to its doors"]),
    ...((ports ?? []).length === 0 ? [] : ["ports of it are published"]),
  ];
}

const describeList = (cidrs: readonly string[] | null | undefined): string =>
  Array.isArray(cidrs) ? `[${cidrs.join(", ")}]` : "missing, so that it reaches everything";

/** The text stays as smolvm wrote it but for the one field. */
function writeRow(database: DatabaseSync, machine: string, cidr: string): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    const { changes } = database
      .prepare(
        `UPDATE vms SET data = CASE typeof(data)
           WHEN 'blob' THEN CAST(json_set(CAST(data AS TEXT), '$.allowed_cidrs', json(?)) AS BLOB)
           ELSE json_set(data, '$.allowed_cidrs', json(?)) END
         WHERE name = ?`,
      )
      .run(JSON.stringify([cidr]), JSON.stringify([cidr]), machine);
    if (Number(changes) !== 1) throw refused(`${changes} records have its name; one is expected`);
    database.exec("COMMIT");
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

function readRow(database: DatabaseSync, machine: string): string {
  const row = database
    .prepare("SELECT CAST(data AS TEXT) AS data FROM vms WHERE name = ?")
    .get(machine);
  const data = row?.["data"];
  return typeof data === "string" ? data : "";
}

function parseRecord(text: string): z.infer<typeof recordSchema> | undefined {
  try {
    return recordSchema.safeParse(parseJson(text)).data;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

async function withDatabase<T>(row: AllowlistRow, use: (database: DatabaseSync) => T): Promise<T> {
  const { DatabaseSync: Database } = await import("node:sqlite");
  try {
    requireOwnFile(row);
    const database = new Database(row.file, { timeout: BUSY_MS });
    try {
      return use(database);
    } finally {
      giveBack(row);
      database.close();
    }
  } catch (error) {
    if (error instanceof LaunchError) throw error;
    throw refused(`smolvm's records in ${row.file} cannot be used: ${messageOf(error)}`, error);
  }
}

/** A machine that broke out could have put a link there. */
function requireOwnFile({ file, owner }: AllowlistRow): void {
  const info = lstatSync(file);
  if (!info.isFile() || info.nlink !== 1 || info.uid !== owner.uid)
    throw refused(`${file} is not the file that smolvm made`);
}

/** Files that SQLite makes beside a database belong to who opened it first. Where a link was put in their place, it alone is given. */
function giveBack({ file, owner }: AllowlistRow): void {
  if (process.getuid?.() !== 0) return;
  for (const suffix of ["-wal", "-shm"]) {
    try {
      lchownSync(`${file}${suffix}`, owner.uid, owner.gid);
    } catch (error) {
      if (systemCode(error) !== "ENOENT") throw error;
    }
  }
}

function refused(why: string, cause?: unknown): LaunchError {
  return new LaunchError("launch.not-isolated", `the machine would not be filtered: ${why}`, {
    cause,
    hint: "run bot-bottle doctor, or use attachment sockets with a newer smolvm",
  });
}
