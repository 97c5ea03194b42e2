import { describe, expect, it } from "vitest";
import { parseBottleId, parseGuestPath, parseHostPath } from "../../../base/ids.ts";
import type { GuestPlan } from "../../contract.ts";
import {
  findPlanFaults,
  renderCopy,
  renderCreate,
  renderPack,
  renderShell,
  renderTerminal,
  type TsiLayout,
} from "./render.ts";
import { explainNoTsi, nameArgs } from "./require-tsi.ts";

const create = ["allow-cidr", "cpus", "from", "mem", "net", "volume"];
const features = {
  version: "0.8.0",
  flags: {
    create,
    start: ["name"],
    exec: ["name", "tty"],
    status: ["name", "json"],
    delete: ["force"],
  },
};
const layout: TsiLayout = {
  access: { kind: "own", uid: 501, gid: 20 },
  features,
  pack: parseHostPath(
    "/h/cache/smolmachines/0123456789abcdef-smolvm-0.8.0.smolmachine.smolmachine",
  ),
  hostCpus: 8,
  hostMemoryMiB: 16_384,
  alias: "127.0.0.16",
};
const plan: GuestPlan = {
  id: parseBottleId("demo-x1"),
  hostname: "demo-x1",
  homeDir: parseHostPath("/h/state/demo-x1/home"),
  workspaceDir: parseHostPath("/h/state/demo-x1/workspace"),
  etcDir: parseHostPath("/h/state/demo-x1/etc"),
  doorsDir: parseHostPath("/h/run/1a2b3c4d/doors"),
  logsDir: parseHostPath("/h/state/demo-x1/logs"),
  guestHome: parseGuestPath("/home/node"),
  guestWorkspace: parseGuestPath("/home/node/workspace"),
  guestDoors: parseGuestPath("/run/bot-bottle/doors"),
  doors: [{ name: "proxy", port: 9099, hostname: "egress" }],
  mounts: [],
  limits: { memoryBytes: undefined, processes: 64, cpus: undefined, tmpfsBytes: 1 },
  hostUid: undefined,
  nodePath: parseHostPath("/opt/node"),
  guestInitPath: parseHostPath("/opt/guest-init.js"),
  allowsUserNamespaces: false,
  attachment: "tsi",
  image: { kind: "reference", reference: "some:image" },
  runtime: undefined,
  network: undefined,
  cacheDir: parseHostPath("/h/cache"),
  terminal: "separate",
};

describe("arguments for the old family of smolvm", () => {
  it("create a machine by its name alone, with a network and a filter that are asked for", () => {
    expect(renderCreate(plan, layout)).toMatchInlineSnapshot(`
      [
        "machine",
        "create",
        "bot-bottle-demo-x1",
        "--from",
        "/h/cache/smolmachines/0123456789abcdef-smolvm-0.8.0.smolmachine.smolmachine",
        "--net",
        "--allow-cidr",
        "127.0.0.16/32",
        "--cpus",
        "4",
        "--mem",
        "8192",
        "--volume",
        "/h/state/demo-x1/home:/home/node",
        "--volume",
        "/h/state/demo-x1/workspace:/home/node/workspace",
        "--volume",
        "/h/state/demo-x1/etc:/run/bot-bottle/etc:ro",
      ]
    `);
  });

  it("pack, run, show and copy", () => {
    const source = parseHostPath("/h/run/1a2b3c4d/smolvm/env-1");
    const target = { machine: "bot-bottle-demo-x1", path: "/var/lib/bot-bottle/env-1" };
    expect([
      renderPack("localhost:32768/bot-bottle:0123456789abcdef", "/tmp/out.smolmachine"),
      renderShell(features, "bot-bottle-demo-x1", ["true"]),
      renderTerminal(features, "bot-bottle-demo-x1", ["/bin/sh"]),
      renderCopy(layout.access, source, target),
    ]).toMatchInlineSnapshot(`
      [
        [
          "pack",
          "create",
          "--image",
          "localhost:32768/bot-bottle:0123456789abcdef",
          "-o",
          "/tmp/out.smolmachine",
        ],
        [
          "machine",
          "exec",
          "--name",
          "bot-bottle-demo-x1",
          "--",
          "/bin/sh",
          "-c",
          "true",
        ],
        [
          "machine",
          "exec",
          "--name",
          "bot-bottle-demo-x1",
          "--tty",
          "--",
          "/bin/sh",
        ],
        [
          "machine",
          "cp",
          "/h/run/1a2b3c4d/smolvm/env-1",
          "bot-bottle-demo-x1:/var/lib/bot-bottle/env-1",
        ],
      ]
    `);
  });

  it("name a machine by position only where there is no flag for it", () => {
    expect(nameArgs(features, "delete", "m")).toEqual(["m"]);
    expect(nameArgs(features, "exec", "m")).toEqual(["--name", "m"]);
  });

  it("are not given more shares than a machine has, nor paths that mean something else", () => {
    const mount = { hostPath: parseHostPath("/a:b"), guestPath: parseGuestPath("/ref") };
    expect(findPlanFaults(plan, layout)).toEqual([]);
    const faults = findPlanFaults({ ...plan, mounts: [mount] }, layout).join("; ");
    expect(faults).toContain("at most 3");
    expect(faults).toContain("colon");
  });
});

describe("which smolvm serves the attachment", () => {
  const why = (version: string): string => explainNoTsi({ ...features, version }) ?? "it does";

  it("is the old family alone", () => {
    for (const version of ["0.8.0", "0.8.2", "0.9.0", "1.0.0", "1.0.1"])
      expect(why(version), version).toBe("it does");
    for (const version of ["0.7.9", "1.0.2", "1.1.3", "1.8.0", "1.8.1", "1.32.2"])
      expect(why(version), version).not.toBe("it does");
  });

  it("has the flags that the filter needs", () => {
    const flags = { ...features.flags, create: create.filter((name) => name !== "net") };
    expect(explainNoTsi({ version: "0.8.0", flags })).toContain("machine create --net");
  });
});
