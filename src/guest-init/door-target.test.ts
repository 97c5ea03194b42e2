import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { parseTarget, takeGreeting } from "./door-target.ts";

describe("a door's place", () => {
  it("is a path or an address", () => {
    expect(parseTarget("/run/doors/proxy.sock")).toEqual({ path: "/run/doors/proxy.sock" });
    expect(parseTarget("tcp:127.0.0.16:4000")).toEqual({ host: "127.0.0.16", port: 4000 });
    expect(parseTarget("tcp:127.0.0.16:4000:/run/t")).toEqual({ host: "127.0.0.16", port: 4000 });
    expect(parseTarget("tcp:example.test:80")).toEqual({ path: "tcp:example.test:80" });
  });

  it("has a greeting only on TCP, and its file is gone then", () => {
    const directory = mkdtempSync(join(tmpdir(), "door-target-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const file = join(directory, "token");
    writeFileSync(file, "abc\n");
    expect(takeGreeting("/run/doors/init.sock")).toBe("");
    expect(takeGreeting(`tcp:127.0.0.16:4000:${file}`)).toBe("abc\n");
    expect(existsSync(file)).toBe(false);
  });
});
