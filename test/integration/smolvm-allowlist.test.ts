// The records of smolvm's user, who may put anything beside them, read as root.
import { chownSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { findAllowlistFaults } from "../../src/backends/smolmachines/tsi/allowlist.ts";
import { parseHostPath } from "../../src/base/ids.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

const OWNER = { uid: 65_534, gid: 65_534 };
const ADDRESS = "127.0.0.16/32";

describe("a machine's record", requires("root"), () => {
  // Only root gives files away.
  it("gives no file of the host away through a link beside it", async () => {
    const directory = tempDir("allowlist-");
    const file = parseHostPath(join(directory, "smolvm.db"));
    const db = new DatabaseSync(file);
    db.exec("CREATE TABLE vms (name TEXT, data TEXT)");
    const data = JSON.stringify({ allowed_cidrs: [ADDRESS], network: true });
    db.prepare("INSERT INTO vms VALUES (?, ?)").run("m", data);
    db.close();
    chownSync(file, OWNER.uid, OWNER.gid);
    const victim = join(directory, "victim");
    writeFileSync(victim, "root's");
    for (const suffix of ["-wal", "-shm"]) symlinkSync(victim, `${file}${suffix}`);
    await Promise.allSettled([findAllowlistFaults({ file, machine: "m", owner: OWNER }, ADDRESS)]);
    expect(statSync(victim).uid).toBe(0);
  });
});
