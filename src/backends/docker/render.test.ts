import { describe, expect, it } from "vitest";
import { parseBottleId, parseGuestPath, parseHostPath } from "../../base/ids.ts";
import type { GuestPlan } from "../contract.ts";
import { parseRoutes } from "../shared/host-subnets.ts";
import { renderAccounts } from "./etc-files.ts";
import { mergeEnv } from "./guest-env.ts";
import { type ContainerFacts, keeperOf, renderContainer, renderInit } from "./render.ts";
import { renderSeccompProfile } from "./seccomp.ts";
import { exitStatusOf } from "./start-container.ts";
import { renderEnvFile } from "./terminal-session.ts";

const host = parseHostPath;
const guest = parseGuestPath;

const PLAN: GuestPlan = {
  id: parseBottleId("web-a1b2c"),
  hostname: "web-a1b2c",
  homeDir: host("/h/state/web-a1b2c/home"),
  workspaceDir: host("/h/state/web-a1b2c/workspace"),
  etcDir: host("/h/state/web-a1b2c/etc"),
  doorsDir: host("/h/run/0badcafe/doors"),
  logsDir: host("/h/state/web-a1b2c/logs"),
  guestHome: guest("/home/node"),
  guestWorkspace: guest("/home/node/workspace"),
  guestDoors: guest("/run/bot-bottle/doors"),
  doors: [{ name: "proxy", port: 9099, hostname: "egress" }],
  mounts: [{ hostPath: host("/h/a:b"), guestPath: guest("/ref") }],
  limits: { memoryBytes: 1 << 30, processes: 512, cpus: 1.5, tmpfsBytes: 1 << 26 },
  hostUid: undefined,
  nodePath: host("/h/node/bin/node"),
  guestInitPath: host("/h/dist/guest-init.js"),
  allowsUserNamespaces: false,
  attachment: "sockets",
  image: { kind: "reference", reference: "base" },
  runtime: undefined,
  network: undefined,
  cacheDir: host("/h/cache"),
  terminal: "shared",
};

const FACTS: ContainerFacts = {
  image: `sha256:${"0".repeat(64)}`,
  node: { path: "/usr/local/bin/node", isOurs: false },
  runtime: undefined,
  uid: 1001,
  gid: 1002,
  ownTasks: 16,
  etcFiles: [{ hostPath: "/h/state/web-a1b2c/etc/hosts", guestPath: "/etc/hosts" }],
  ownership: { "bot-bottle.home": "h1", "bot-bottle.owner": "7 100 boot pid:[1]" },
};

describe("renderContainer", () => {
  it("makes a container without a network, a right or a writable root", () => {
    const body = renderContainer(PLAN, FACTS);
    const { SecurityOpt = [], ...config } = body.HostConfig;
    expect(SecurityOpt.map((option) => option.slice(0, 16))).toEqual([
      "no-new-privilege",
      'seccomp={"defaul',
    ]);
    expect({ ...body, HostConfig: config }).toMatchSnapshot();
  });

  it("joins the bottle's own network where doors are on TCP, and then binds no doors", () => {
    const network = {
      name: "bot-bottle-net-web-a1b2c",
      subnet: "192.168.5.0/24",
      gateway: "192.168.5.1",
      bundleAddress: "192.168.5.2",
    };
    const { HostConfig } = renderContainer({ ...PLAN, attachment: "internal", network }, FACTS);
    expect(HostConfig).toMatchObject({ NetworkMode: network.name, Dns: ["192.168.5.2"] });
    expect(HostConfig.Mounts?.map(({ Target }) => Target)).not.toContain("/run/bot-bottle/doors");
  });

  it("gives the first process a user that is never the guest's", () => {
    for (const uid of [1000, 65_533, 65_534]) expect(keeperOf(uid)).not.toBe(uid);
    expect(renderInit(FACTS).User).toBe(`${FACTS.uid}:${FACTS.gid}`);
    expect(renderContainer(PLAN, FACTS).User).not.toBe(renderInit(FACTS).User);
  });

  it("binds our Node and takes the runtime where they are chosen", () => {
    const node = { path: "/opt/bot-bottle/node", isOurs: true };
    const { HostConfig } = renderContainer(PLAN, { ...FACTS, node, runtime: "runsc" });
    expect(HostConfig.Runtime).toBe("runsc");
    expect(renderInit({ ...FACTS, node }).Cmd[0]).toBe("/opt/bot-bottle/node");
    expect(HostConfig.Mounts).toContainEqual(
      expect.objectContaining({ Source: "/h/node/bin/node", ReadOnly: true }),
    );
  });

  it("never names the engine's socket, and leaves limits out that nobody set", () => {
    const none = { ...PLAN.limits, memoryBytes: undefined, processes: undefined, cpus: undefined };
    const text = JSON.stringify(renderContainer({ ...PLAN, limits: none }, FACTS));
    expect(text).not.toMatch(/docker\.sock|"Memory"|PidsLimit|NanoCpus|Privileged|CapAdd/);
  });
});

describe("the system-call filter", () => {
  it("refuses by default, and sockets of all but four kinds", () => {
    const profile = JSON.parse(renderSeccompProfile());
    expect(profile.defaultAction).toBe("SCMP_ACT_ERRNO");
    const names: string[] = profile.syscalls.flatMap((rule: { names: string[] }) => rule.names);
    for (const name of [
      "mount",
      "unshare",
      "setns",
      "bpf",
      "keyctl",
      "io_uring_setup",
      "socketcall",
    ])
      expect(names).not.toContain(name);
    const sockets = profile.syscalls.filter((rule: { names: string[] }) =>
      rule.names.includes("socket"),
    );
    const judged = sockets.map((rule: { args: { value: number; valueTwo?: number }[] }) =>
      rule.args.map((arg) => arg.valueTwo ?? arg.value).join(),
    );
    const internet = ["1,0", "1,6", "2,0", "2,17"];
    const expected = [2, 10].flatMap((family) => internet.map((rest) => `${family},${rest}`));
    expect(judged).toEqual(["1", ...expected, "16,0"]);
  });
});

describe("what goes into the guest", () => {
  it("has one user with the host's uid", () => {
    const { passwd, group } = renderAccounts(PLAN, 1001, 1002);
    expect(passwd).toContain("node:x:1001:1002:node:/home/node:/bin/bash\n");
    expect(group).toContain("node:x:1002:\n");
    expect(renderAccounts(PLAN, 65_534, 65_534).passwd.match(/65534:65534/g)).toHaveLength(1);
  });

  it("has the image's variables beneath the plan's, and both searched, ours first", () => {
    const env = mergeEnv(["PATH=/opt/tool:/usr/bin", "TOOL=1", "HOME=/root", "LANG=x", "BARE"], {
      PATH: "/usr/local/bin:/usr/bin",
      HOME: "/home/node",
      LANG: "C.UTF-8",
    });
    expect(env).toEqual({
      ...{ TOOL: "1", BARE: "", HOME: "/home/node", LANG: "C.UTF-8" },
      PATH: "/usr/local/bin:/usr/bin:/opt/tool",
    });
  });

  it("quotes every value for the shell and leaves out names that a shell cannot have", () => {
    expect(renderEnvFile({ A: "it's $(x)\n", "B-C": "no", _d: "" })).toBe(
      "export A='it'\\''s $(x)\n'\nexport _d=''\n",
    );
  });
});

describe("what comes back", () => {
  it("is a status or the signal that a status above 128 stands for", () => {
    expect(exitStatusOf(3)).toEqual({ exitCode: 3, signal: undefined });
    expect(exitStatusOf(137)).toEqual({ exitCode: undefined, signal: "SIGKILL" });
    expect(exitStatusOf(255)).toEqual({ exitCode: 255, signal: undefined });
  });

  it("are the subnets of the host's routes, without the default one", () => {
    const table = [
      "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT",
      "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
      "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0",
      "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
    ].join("\n");
    expect(parseRoutes(table)).toEqual(["172.17.0.0/16", "192.0.2.0/24"]);
  });
});
