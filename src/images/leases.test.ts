import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { readOwner } from "../process/identity.ts";
import { LEASES, Leases } from "./leases.ts";

const NAME = "f00d.tar";

function open(onSleep: () => void = () => undefined) {
  const copies = mkdtempSync(join(tmpdir(), "leases-"));
  onTestFinished(() => rmSync(copies, { recursive: true, force: true }));
  const sleep = async (): Promise<void> => onSleep();
  const removed: string[] = [];
  const leases = new Leases(copies, { sleep });
  const drop = (name: string) => leases.drop(name, async () => void removed.push(name));
  const notes = () => readdirSync(join(copies, LEASES));
  const note = (intent: string, change: object): string => {
    const file = join(
      copies,
      LEASES,
      [intent, NAME, ...Object.values({ ...readOwner(), ...change })].join("~"),
    );
    writeFileSync(file, "");
    return file;
  };
  return { leases, drop, removed, notes, note };
}

describe("leases of kept copies", () => {
  it("keep what a living process has taken, and only that", async () => {
    const { leases, drop, removed, notes } = open();
    await leases.take(NAME, undefined);
    await drop(NAME);
    await drop("other");
    expect(removed).toEqual(["other"]);
    expect(notes()).toHaveLength(1);
  });

  it.each([
    ["a dead process", { start_time: "1" }, [NAME]],
    ["another boot", { boot_id: "another" }, [NAME]],
    ["a process of which nothing is known", { pid_namespace: "pid:[1]" }, []],
  ])("of %s", async (_whose, change, expected) => {
    const { drop, removed, notes, note } = open();
    await drop("first");
    note("use", change);
    await drop(NAME);
    expect(removed).toEqual(["first", ...expected]);
    expect(notes()).toHaveLength(1 - expected.length);
  });

  it("are taken only after who is just dropping the copy", async () => {
    let sleeps = 0;
    let dropping = "";
    const { leases, drop, note } = open(() => {
      sleeps += 1;
      if (sleeps === 3) rmSync(dropping);
    });
    await drop("first");
    dropping = note("drop", {});
    await leases.take(NAME, undefined);
    expect(sleeps).toBe(3);
  });
});
