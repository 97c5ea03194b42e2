import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished } from "vitest";
import { parseHostPath } from "../../../base/ids.ts";
import {
  type AllowlistRow,
  databasePath,
  findAllowlistFaults,
  forceAllowlist,
} from "./allowlist.ts";

const CIDR = "127.0.0.16/32";
const RECORD = { name: "m", network: true, allowed_cidrs: null, ports: [], big: 1 };

/** A database as smolvm makes it, with these rows; blobs where the real one has them. */
function makeRow(rows: Readonly<Record<string, string>>, isBlob = true): AllowlistRow {
  const root = mkdtempSync(join(tmpdir(), "allowlist-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const file = databasePath(parseHostPath(root), "linux");
  mkdirSync(dirname(file), { recursive: true });
  const database = new DatabaseSync(file);
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE vms(name TEXT PRIMARY KEY, data BLOB)");
  for (const [name, text] of Object.entries(rows))
    database.prepare("INSERT INTO vms VALUES(?, ?)").run(name, isBlob ? Buffer.from(text) : text);
  database.close();
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  return { file, machine: "m", owner };
}

function read(row: AllowlistRow, name: string): string {
  const database = new DatabaseSync(row.file);
  const found = database
    .prepare("SELECT CAST(data AS TEXT) AS data FROM vms WHERE name = ?")
    .get(name);
  database.close();
  return String(found?.["data"]);
}

describe("the filter in smolvm's records", () => {
  it("lies where each system keeps it", () => {
    const state = parseHostPath("/s");
    expect(databasePath(state, "linux")).toBe("/s/.local/share/smolvm/server/smolvm.db");
    expect(databasePath(state, "darwin")).toBe(
      "/s/Library/Application Support/smolvm/server/smolvm.db",
    );
  });

  it.each([true, false])("is written into one row and nothing else (blob: %s)", async (isBlob) => {
    const other = JSON.stringify({ ...RECORD, name: "other" });
    const text = JSON.stringify(RECORD).replace('"big":1', '"big":18446744073709551615');
    const row = makeRow({ m: text, other }, isBlob);
    expect(await findAllowlistFaults(row, CIDR)).toEqual([
      `its allowlist is missing, so that it reaches everything, not ${CIDR}`,
    ]);
    await forceAllowlist(row, CIDR);
    expect(await findAllowlistFaults(row, CIDR)).toEqual([]);
    expect(read(row, "m")).toBe(text.replace("null", `["${CIDR}"]`));
    expect(read(row, "other")).toBe(other);
  });

  it.each([
    ["there is no row", {}, /0 records have its name/],
    ["the row is no JSON", { m: "not JSON" }, /cannot be used/],
    [
      "the machine has no network",
      { m: JSON.stringify({ ...RECORD, network: false }) },
      /no network/,
    ],
    [
      "ports are published",
      { m: JSON.stringify({ ...RECORD, ports: ["8080:80"] }) },
      /ports of it/,
    ],
    [
      "names are allowed",
      { m: JSON.stringify({ ...RECORD, dns_filter_hosts: ["a.test"] }) },
      /names are allowed/,
    ],
  ])("is refused where %s", async (_what, rows: Readonly<Record<string, string>>, reason) => {
    await expect(forceAllowlist(makeRow(rows), CIDR)).rejects.toMatchObject({
      code: "launch.not-isolated",
      message: expect.stringMatching(reason),
    });
  });

  it("is refused where the file is missing, a link, or somebody else's", async () => {
    const row = makeRow({ m: JSON.stringify(RECORD) });
    const refused = { code: "launch.not-isolated" };
    await expect(forceAllowlist({ ...row, file: `${row.file}.no` }, CIDR)).rejects.toMatchObject(
      refused,
    );
    symlinkSync(row.file, `${row.file}.link`);
    await expect(forceAllowlist({ ...row, file: `${row.file}.link` }, CIDR)).rejects.toMatchObject(
      refused,
    );
    const owner = { uid: 4_242_424, gid: 4_242_424 };
    await expect(forceAllowlist({ ...row, owner }, CIDR)).rejects.toMatchObject(refused);
  });

  it("is found wrong where it is more than one address", async () => {
    for (const cidrs of [[CIDR, "0.0.0.0/0"], ["127.0.0.17/32"], [], ["127.0.0.0/8"]]) {
      const row = makeRow({ m: JSON.stringify({ ...RECORD, allowed_cidrs: cidrs }) });
      expect(await findAllowlistFaults(row, CIDR), String(cidrs)).toHaveLength(1);
    }
  });
});
