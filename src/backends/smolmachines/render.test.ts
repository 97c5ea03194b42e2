// The exact arguments of a machine, and everything that smolvm would take and must not be given.
import { describe, expect, it } from "vitest";
import { parseBottleId, parseGuestPath, parseHostPath } from "../../base/ids.ts";
import type { GuestPlan } from "../contract.ts";
import { type Access, planBinds, reach, renderAccess } from "./access.ts";
import { chooseLimits } from "./limits.ts";
import { findPlanFaults, type MachineLayout, machineName, renderCreate } from "./render.ts";
import { START_SCRIPT } from "./start-script.ts";

const host = parseHostPath;
const guest = parseGuestPath;

const PLAN: GuestPlan = {
  id: parseBottleId("worker-a1b2c"),
  hostname: "worker",
  homeDir: host("/h/state/worker/home"),
  workspaceDir: host("/h/state/worker/workspace"),
  etcDir: host("/h/state/worker/etc"),
  doorsDir: host("/h/run/0a1b2c3d/doors"),
  logsDir: host("/h/state/worker/logs"),
  guestHome: guest("/home/node"),
  guestWorkspace: guest("/home/node/workspace"),
  guestDoors: guest("/run/bot-bottle/doors"),
  doors: [{ name: "proxy", port: 9099, hostname: "egress" }],
  mounts: [{ hostPath: host("/data/reference"), guestPath: guest("/ref") }],
  limits: { memoryBytes: 1_073_741_824, processes: 100, cpus: 2.5, tmpfsBytes: 1 },
  hostUid: undefined,
  nodePath: host("/usr/bin/node"),
  guestInitPath: host("/opt/guest-init.js"),
  allowsUserNamespaces: false,
  attachment: "sockets",
  image: { kind: "reference", reference: "/images/rootfs" },
  runtime: undefined,
  network: undefined,
  cacheDir: host("/h/cache"),
  terminal: "separate",
};

const OWN: Access = { kind: "own", uid: 1001, gid: 1001 };
const NEW_FLAGS = { create: ["user", "stop-on-exit", "state-dir"] };

function layout(changes: Partial<MachineLayout> = {}): MachineLayout {
  return {
    access: OWN,
    features: { version: "1.32.2", flags: NEW_FLAGS },
    image: host("/images/rootfs"),
    kitDir: host("/h/cache/smolvm/kit-0123456789abcdef"),
    hostCpus: 8,
    hostMemoryMiB: 16_000,
    ...changes,
  };
}

const readable = (argv: readonly string[]): string[] =>
  argv.map((arg) => (arg === START_SCRIPT ? "START_SCRIPT" : arg));

describe("renderCreate", () => {
  it("asks for doors and shares, and for no network", () => {
    expect(readable(renderCreate(PLAN, layout()))).toMatchInlineSnapshot(`
      [
        "machine",
        "create",
        "--name",
        "bot-bottle-worker-a1b2c",
        "--label",
        "bot-bottle=worker-a1b2c",
        "--image",
        "/images/rootfs",
        "--cpus",
        "2",
        "--mem",
        "1024",
        "--mount-socket",
        "/h/run/0a1b2c3d/doors/init.sock:/run/bot-bottle/doors/init.sock",
        "--mount-socket",
        "/h/run/0a1b2c3d/doors/proxy.sock:/run/bot-bottle/doors/proxy.sock",
        "--volume",
        "/h/state/worker/home:/home/node",
        "--volume",
        "/h/state/worker/workspace:/home/node/workspace",
        "--volume",
        "/h/state/worker/etc:/run/bot-bottle/etc:ro",
        "--volume",
        "/h/cache/smolvm/kit-0123456789abcdef:/run/bot-bottle/kit:ro",
        "--volume",
        "/data/reference:/ref:ro",
        "--user",
        "0:0",
        "--stop-on-exit",
        "--",
        "/bin/sh",
        "-c",
        "START_SCRIPT",
        "guest-init",
        "1001",
        "1001",
        "124",
        "self",
        "/run/bot-bottle/doors/init.sock",
      ]
    `);
  });

  it("does without what an older version does not have", () => {
    const argv = renderCreate(PLAN, layout({ features: { version: "1.8.1", flags: {} } }));
    expect(argv).not.toContain("--user");
    expect(argv).not.toContain("--stop-on-exit");
    expect(argv.at(-2)).toBe("off");
  });

  it("gives root's machine another uid and paths that it reaches", () => {
    const binds = planBinds([{ source: PLAN.doorsDir }, { source: PLAN.homeDir }]);
    const programs = { sh: host("/bin/sh"), unshare: host("/u"), setpriv: host("/s") };
    const access: Access = {
      ...{ kind: "dropped", uid: 2_000_000_001, gid: 2_000_000_001 },
      ...{ base: host("/run/bot-bottle-vm-0123456789abcdef"), binds, programs },
    };
    const argv = renderCreate(PLAN, layout({ access }));
    expect(argv).toContain(
      "/run/bot-bottle-vm-0123456789abcdef/0-doors/proxy.sock:/run/bot-bottle/doors/proxy.sock",
    );
    expect(argv).toContain("/run/bot-bottle-vm-0123456789abcdef/1-home:/home/node");
    expect(argv.slice(-5, -2)).toEqual(["2000000001", "2000000001", "124"]);
    expect(renderAccess(access, ["smolvm"]).slice(0, 5)).toEqual([
      ...["/u", "--mount", "--propagation", "private", "--"],
    ]);
    expect(reach(access, host("/elsewhere/x"))).toBe("/elsewhere/x");
  });
});

describe("findPlanFaults", () => {
  const faults = (plan: Partial<GuestPlan>): readonly string[] =>
    findPlanFaults({ ...PLAN, ...plan }, layout());

  it("finds nothing in a plan that is right", () => {
    expect(faults({})).toEqual([]);
  });

  it("counts the bytes of a socket's path", () => {
    const doorsDir = host(`/${"p".repeat(95)}`);
    expect(faults({ doorsDir }).join()).toMatch(/has 106 bytes; at most 100 fit/);
  });

  it.each(["/", "/etc", "/usr/lib", "/proc/x", "/run/bot-bottle", "/tmp", "/storage", "/dev/shm"])(
    "refuses to share something as %s",
    (path) => {
      const mounts = [{ hostPath: host("/data"), guestPath: guest(path) }];
      expect(faults({ mounts }).join()).toMatch(/belongs to the guest's system/);
    },
  );

  it("refuses to hide the home, to share twice, and names that smolvm would split", () => {
    const mount = (hostPath: string, guestPath: string) => ({
      mounts: [{ hostPath: host(hostPath), guestPath: guest(guestPath) }],
    });
    expect(faults(mount("/data", "/home"))).toEqual([
      '"/home" would hide /home/node',
      '"/home" would hide /home/node/workspace',
    ]);
    expect(faults(mount("/data", "/home/node/workspace")).join()).toMatch(/is mounted twice/);
    expect(faults(mount("/da:ta", "/ref")).join()).toMatch(/cannot be shared/);
    expect(faults(mount("/data", "/r:ef")).join()).toMatch(/cannot be shared/);
  });

  it("bounds the number of shares", () => {
    const mounts = Array.from({ length: 9 }, (_, index) => ({
      hostPath: host(`/data/${index}`),
      guestPath: guest(`/ref/${index}`),
    }));
    expect(faults({ mounts })).toEqual([
      "13 directories are to be shared; smolvm 1.32.2 shares at most 8",
    ]);
    const old = layout({ features: { version: "1.8.1", flags: {} }, kitDir: undefined });
    expect(findPlanFaults({ ...PLAN, mounts: [] }, old)).toEqual([]);
    expect(findPlanFaults(PLAN, old)).toEqual([
      "4 directories are to be shared; smolvm 1.8.1 shares at most 3",
    ]);
  });
});

describe("machineName", () => {
  it("is one that smolvm takes", () => {
    expect(machineName("a--b")).toBe("bot-bottle-a-b");
    expect(machineName("x".repeat(200))).toHaveLength(128);
  });
});

describe("chooseLimits", () => {
  const { limits } = PLAN;

  it("names what holds each", () => {
    expect(chooseLimits(limits)).toEqual({
      memory: "machine",
      processes: "rlimit",
      cpus: "machine",
    });
  });

  it("refuses what a machine cannot hold", () => {
    expect(() => chooseLimits({ ...limits, cpus: 0.5 })).toThrowError(/whole processors/);
    expect(() => chooseLimits({ ...limits, memoryBytes: 1_000_000 })).toThrowError(/256 MiB/);
  });
});
