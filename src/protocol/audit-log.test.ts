import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../base/clock.ts";
import type { AuditLine } from "./audit.ts";
import {
  type AuditLog,
  auditHead,
  GENESIS_HASH,
  hashLine,
  openAuditLog,
  TORN_LINE_REASON,
} from "./audit-log.ts";
import { readAudit, verifyAudit } from "./audit-read.ts";

let directory: string;
let path: string;
const open = (): AuditLog => openAuditLog(path, { bottle: "demo-1", clock: systemClock });
const lines = (): string[] => readFileSync(path, "utf8").split("\n").slice(0, -1);
const all = async (): Promise<AuditLine[]> => {
  const found: AuditLine[] = [];
  for await (const line of readAudit(path)) found.push(line);
  return found;
};
const fill = (count: number): void => {
  const log = open();
  for (let index = 0; index < count; index += 1)
    log.append({ kind: "request", verdict: "allow", path: `/${index}` });
  log.close();
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "audit-"));
  path = join(directory, "demo-1.jsonl");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("an audit log", () => {
  it("chains its lines, also over several openings, and is private", async () => {
    fill(2);
    fill(1);
    const parsed = await all();
    expect(parsed.map((it) => [it.seq, it.bottle, it.path])).toEqual([
      [0, "demo-1", "/0"],
      [1, "demo-1", "/1"],
      [2, "demo-1", "/0"],
    ]);
    expect(parsed[0]?.prev).toBe(GENESIS_HASH);
    expect(parsed[2]?.prev).toBe(hashLine(Buffer.from(lines()[1] ?? "")));
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it("takes nothing beyond its bound, and stays whole", async () => {
    const log = openAuditLog(path, { bottle: "demo-1", clock: systemClock, maxBytes: 1000 });
    const write = (): void => {
      for (let index = 0; index < 100; index += 1) log.append({ kind: "request", path: "/x" });
    };
    expect(write).toThrow("nothing is appended beyond");
    expect(statSync(path).size).toBeLessThanOrEqual(1000);
    log.close();
    // The owner still says how the bottle ended.
    fill(1);
    expect((await verifyAudit(path)).ok).toBe(true);
  });

  it("takes in what another writer appended meanwhile", async () => {
    const owner = open();
    owner.append({ kind: "launch" });
    fill(3);
    owner.append({ kind: "close" });
    expect(owner.head().seq).toBe(4);
    expect(auditHead(path)).toEqual(owner.head());
    expect(auditHead(`${path}.missing`)).toBeUndefined();
    expect(await verifyAudit(path, { head: owner.head() })).toEqual({
      ok: true,
      lines: 5,
      head: owner.head(),
    });
    owner.close();
  });

  it("cuts a field that is too long instead of losing the decision", async () => {
    const log = open();
    const line = log.append({
      kind: "request",
      path: `/${"a".repeat(5000)}`,
      host: "h".repeat(400),
    });
    log.close();
    expect([line.path?.length, line.host?.length]).toEqual([2048, 300]);
    expect(await all()).toHaveLength(1);
  });

  it("does not follow a link and takes nothing after it was closed", () => {
    writeFileSync(join(directory, "elsewhere"), "");
    symlinkSync(join(directory, "elsewhere"), path);
    expect(open).toThrow(/ELOOP/);
    rmSync(path);
    const log = open();
    log.close();
    log.close();
    expect(() => log.append({ kind: "close" })).toThrow(/closed/);
  });

  it("does not write to what is no regular file", () => {
    expect(() => openAuditLog("/dev/null", { bottle: "demo-1", clock: systemClock })).toThrow(
      /regular file/,
    );
  });

  it.each([
    ["without its newline", '{"v":1,"time":"20'],
    ["with its newline", '{"v":1,"time":"20\n'],
    ["of one byte", "{"],
  ])("keeps and reports what a crash left of a line, %s", async (_name, rest) => {
    fill(2);
    appendFileSync(path, rest);
    fill(1);
    expect(lines()[2]).toBe(rest.trimEnd());
    expect((await all()).map((it) => [it.seq, it.reason])).toEqual([
      [0, undefined],
      [1, undefined],
      [3, TORN_LINE_REASON],
      [4, undefined],
    ]);
    expect(await verifyAudit(path)).toMatchObject({ ok: true, lines: 5 });
  });

  it("goes on after a crash in the middle of reporting one", async () => {
    fill(1);
    appendFileSync(path, 'torn\n{"v":1,"kind":"bun');
    fill(1);
    expect(await verifyAudit(path)).toMatchObject({ ok: true, lines: 5 });
    expect(lines()[2]).toBe('{"v":1,"kind":"bun');
  });

  it("notices an edit of the line before a torn one", async () => {
    fill(2);
    appendFileSync(path, "torn");
    fill(1);
    writeFileSync(path, readFileSync(path, "utf8").replace('"/1"', '"/9"'));
    expect(await verifyAudit(path)).toMatchObject({ ok: false, line: 4 });
  });

  it("refuses a last line that is not its own", () => {
    writeFileSync(path, "x".repeat(100_000));
    expect(open).toThrow(/unreadable/);
  });
});

describe("verification", () => {
  it("knows the empty log", async () => {
    fill(0);
    expect(await verifyAudit(path)).toEqual({
      ok: true,
      lines: 0,
      head: { seq: -1, hash: GENESIS_HASH },
    });
  });

  const edits: [string, (text: string[]) => string[], number][] = [
    ["an edited value", (it) => it.map((line) => line.replace("/1", "/9")), 3],
    ["a removed line", (it) => it.filter((_, index) => index !== 1), 2],
    ["swapped lines", (it) => [it[0] ?? "", it[2] ?? "", it[1] ?? "", it[3] ?? ""], 2],
    ["a repeated line", (it) => [it[0] ?? "", ...it], 2],
    [
      "an unknown field",
      (it) => it.map((line, index) => (index === 1 ? line.replace("{", '{"x":1,') : line)),
      2,
    ],
    ["bytes that are no line", (it) => [...it.slice(0, 2), "garbage", ...it.slice(2)], 3],
    ["a removed first line", (it) => it.slice(1), 1],
  ];

  it.each(edits)("finds %s", async (_name, edit, line) => {
    fill(4);
    writeFileSync(path, `${edit(lines()).join("\n")}\n`);
    expect(await verifyAudit(path)).toMatchObject({ ok: false, line });
  });

  it("says from which line on nothing is proven", async () => {
    fill(5);
    const whole = readFileSync(path, "utf8");
    writeFileSync(path, whole.replace('"/2"', '"/9"'));
    expect(await verifyAudit(path)).toMatchObject({ ok: false, line: 4, from: 3 });
    writeFileSync(path, whole.replace('"seq":2', '"seq":7'));
    expect(await verifyAudit(path)).toMatchObject({ ok: false, line: 3, from: 3 });
    writeFileSync(path, whole.replace(/"prev":"[0-9a-f]{64}"/, `"prev":"${"1".repeat(64)}"`));
    expect(await verifyAudit(path)).toMatchObject({ ok: false, line: 1, from: 1 });
    const head = { seq: 2, hash: "1".repeat(64) };
    writeFileSync(path, whole);
    expect(await verifyAudit(path, { head })).toMatchObject({ ok: false, line: 3, from: 1 });
  });

  it("finds truncation only against a head that was noted elsewhere", async () => {
    fill(4);
    const log = open();
    const head = log.head();
    log.close();
    const whole = lines();
    writeFileSync(path, `${whole.slice(0, 2).join("\n")}\n`);
    expect(await verifyAudit(path)).toMatchObject({ ok: true, lines: 2 });
    expect(await verifyAudit(path, { head })).toMatchObject({
      ok: false,
      why: expect.stringContaining("ends before"),
    });
    fill(3);
    expect(await verifyAudit(path, { head })).toMatchObject({ ok: false, line: 4 });
  });

  it("says that a last line without its newline is unfinished", async () => {
    fill(2);
    appendFileSync(path, "half");
    expect(await verifyAudit(path)).toMatchObject({ ok: false, line: 3 });
    expect(await all()).toHaveLength(2);
  });

  it("does not read on over bytes that nothing reports", async () => {
    fill(1);
    appendFileSync(path, "garbage\n");
    await expect(all()).rejects.toThrow(/:2: not a line of an audit log/);
  });
});
