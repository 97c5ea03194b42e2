import { describe, expect, it } from "vitest";
import { HostError } from "../../base/errors.ts";
import type { LimitsPlan } from "../contract.ts";
import { parseCgroupMounts, parseOwnCgroups } from "./cgroup.ts";
import { chooseLimits, type LimitHost } from "./limits.ts";

const LIMITS: LimitsPlan = { memoryBytes: 1 << 30, processes: 512, cpus: 1.5, tmpfsBytes: 1 };
const BARE: LimitHost = { cgroups: {}, systemd: undefined, hasPrlimit: true };
const V1: LimitHost = {
  ...BARE,
  cgroups: {
    memory: { version: 1, directory: "/cg/memory/own" },
    pids: { version: 1, directory: "/cg/pids" },
    cpu: { version: 1, directory: "/cg/cpu" },
  },
};
const slice = { version: 2, directory: "/cg/user.slice" } as const;
const V2: LimitHost = { ...BARE, cgroups: { memory: slice, pids: slice, cpu: slice } };
const SYSTEMD: LimitHost = {
  ...BARE,
  systemd: {
    program: "/usr/bin/systemd-run",
    controllers: ["cpu", "memory", "pids"],
    runtimeDir: "/run/user/1",
  },
};

describe("chooseLimits", () => {
  it("claims a group of each v1 hierarchy, swap included", () => {
    const chosen = chooseLimits("web", LIMITS, V1);
    expect(chosen.report).toEqual({
      memory: "cgroup v1",
      processes: "rlimit, cgroup v1",
      cpus: "cgroup v1",
    });
    expect(
      chosen.cgroups.map(({ directory, files }) => [
        directory,
        ...files.map((f) => `${f.name}=${f.value}`),
      ]),
    ).toEqual([
      [
        "/cg/memory/own/bot-bottle-web",
        "memory.limit_in_bytes=1073741824",
        "memory.memsw.limit_in_bytes=1073741824",
      ],
      ["/cg/pids/bot-bottle-web", "pids.max=528"],
      ["/cg/cpu/bot-bottle-web", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000"],
    ]);
    expect(chosen.watchedBytes).toBeUndefined();
  });

  it("claims one v2 group for all", () => {
    const chosen = chooseLimits("web", LIMITS, V2);
    expect(chosen.report.memory).toBe("cgroup v2");
    expect(
      chosen.cgroups.map(({ directory, files }) => [
        directory,
        ...files.map((f) => `${f.name}=${f.value}`),
      ]),
    ).toEqual([
      [
        "/cg/user.slice/bot-bottle-web",
        "memory.max=1073741824",
        "memory.swap.max=0",
        "pids.max=528",
        "cpu.max=150000 100000",
      ],
    ]);
  });

  it("asks systemd where it delegates", () => {
    const chosen = chooseLimits("web", LIMITS, SYSTEMD);
    expect(chosen.report).toEqual({
      memory: "systemd scope",
      processes: "rlimit",
      cpus: "systemd scope",
    });
    expect(chosen.prefix).toEqual([
      ...[
        "/usr/bin/systemd-run",
        "--user",
        "--scope",
        "--quiet",
        "--collect",
        "--unit=bot-bottle-web",
      ],
      ...[
        "--property=MemoryMax=1073741824",
        "--property=MemorySwapMax=0",
        "--property=CPUQuota=150%",
        "--",
      ],
    ]);
    expect(chosen.watchedBytes).toBeUndefined();
  });

  it("watches memory where nothing else can hold it, and says so", () => {
    const chosen = chooseLimits("web", { ...LIMITS, cpus: undefined }, BARE);
    expect(chosen.report).toEqual({ memory: "watched", processes: "rlimit", cpus: "none" });
    expect(chosen.watchedBytes).toBe(1 << 30);
    expect(chosen.prefix).toEqual([]);
  });

  it("claims nothing for what is not limited", () => {
    const none = { memoryBytes: undefined, processes: undefined, cpus: undefined, tmpfsBytes: 1 };
    const chosen = chooseLimits("web", none, V1);
    expect(chosen.report).toEqual({ memory: "none", processes: "none", cpus: "none" });
    expect(chosen.cgroups).toEqual([]);
  });

  it.each([
    ["processors without a group", LIMITS, BARE],
    ["processes without prlimit", { ...LIMITS, cpus: undefined }, { ...BARE, hasPrlimit: false }],
  ])("refuses %s", (_, limits, host) => {
    expect(() => chooseLimits("web", limits, host)).toThrow(HostError);
  });
});

describe("reading /proc", () => {
  it("finds the mounts of control groups with their roots", () => {
    const text = [
      "30 23 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory",
      "35 23 0:31 /docker/1 /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
      "36 23 0:32 / /proc rw - proc proc rw",
    ].join("\n");
    expect(parseCgroupMounts(text)).toEqual([
      { type: "cgroup", root: "/", mountPoint: "/sys/fs/cgroup/memory", options: ["rw", "memory"] },
      { type: "cgroup2", root: "/docker/1", mountPoint: "/sys/fs/cgroup/unified", options: ["rw"] },
    ]);
  });

  it("finds the path of each controller", () => {
    const paths = parseOwnCgroups("4:memory:/a/b\n2:cpu,cpuacct:/c\n0::/user.slice\n");
    expect([...paths]).toEqual([
      ["memory", "/a/b"],
      ["cpu", "/c"],
      ["cpuacct", "/c"],
      ["", "/user.slice"],
    ]);
  });
});
