import { describe, expect, it } from "vitest";
import type { Exec } from "../process/exec.ts";
import { chooseAlias, ensureAliases, LOOPBACK_ALIASES } from "./loopback-alias.ts";
import { findHostPort } from "./published-doors.ts";

describe("an alias of the loopback", () => {
  it("is the lowest that nobody uses", () => {
    expect(chooseAlias([])).toBe("127.0.0.16");
    expect(chooseAlias(["127.0.0.16", "127.0.0.18", "0.0.0.0"])).toBe("127.0.0.17");
    expect(chooseAlias(LOOPBACK_ALIASES.slice(0, -1))).toBe("127.0.0.31");
    expect(() => chooseAlias(LOOPBACK_ALIASES)).toThrow(/in use/);
  });

  it("is added on macOS by one command for all that are missing, elsewhere never", async () => {
    const calls: (readonly string[])[] = [];
    const exec: Exec = {
      run: () => Promise.reject(new Error("nothing is run to its end")),
      start: (argv) => {
        calls.push(argv);
        throw new Error("asked");
      },
    };
    const ports = { exec, searchPath: "/usr/bin", present: LOOPBACK_ALIASES.slice(2) };
    await ensureAliases({ ...ports, platform: "linux" });
    await ensureAliases({ ...ports, platform: "darwin", present: LOOPBACK_ALIASES });
    expect(calls).toEqual([]);
    await expect(ensureAliases({ ...ports, platform: "darwin" })).rejects.toThrow("asked");
    expect(calls).toHaveLength(1);
    expect(calls[0]?.at(-1)).toBe(
      "/sbin/ifconfig lo0 alias 127.0.0.16 up && /sbin/ifconfig lo0 alias 127.0.0.17 up",
    );
  });
});

describe("a published port", () => {
  const container = (...lines: { HostIp: string; HostPort: string }[]) => ({
    NetworkSettings: { Networks: {}, Ports: { "9099/tcp": lines } },
  });

  it("is that of the alias's own line", () => {
    const lines = [
      { HostIp: "0.0.0.0", HostPort: "1" },
      { HostIp: "127.0.0.16", HostPort: "32768" },
    ];
    expect(findHostPort(container(...lines), 9099, "127.0.0.16")).toBe(32_768);
  });

  it("is an error where there is none, or more than one", () => {
    const line = { HostIp: "127.0.0.16", HostPort: "32768" };
    const bad = [[], [{ ...line, HostIp: "0.0.0.0" }], [line, line], [{ ...line, HostPort: "" }]];
    for (const lines of bad)
      expect(() => findHostPort(container(...lines), 9099, "127.0.0.16")).toThrow(/not publish/);
    expect(() => findHostPort(undefined, 9099, "127.0.0.16")).toThrow(/nothing was seen/);
  });
});
