import { describe, expect, it } from "vitest";
import type { ContainerBody } from "../../engine/contract.ts";
import { containerSchema } from "../../engine/schemas.ts";
import { inspectRecord } from "./isolation.ts";
import { renderSeccompProfile } from "./seccomp.ts";

const SECURITY = ["no-new-privileges", `seccomp=${renderSeccompProfile()}`];
const BODY: ContainerBody = {
  Image: "sha256:0",
  User: "1000:1000",
  HostConfig: {
    NetworkMode: "none",
    SecurityOpt: SECURITY,
    Memory: 1024,
    Mounts: [{ Type: "bind", Source: "/h", Target: "/home/node", ReadOnly: false }],
  },
};

const HOST = {
  NetworkMode: "none",
  IpcMode: "private",
  ReadonlyRootfs: true,
  CapDrop: ["ALL"],
  SecurityOpt: SECURITY,
  Memory: 1024,
  Runtime: "runc",
};

function record(changes: { host?: object; other?: object } = {}) {
  return containerSchema.parse({
    Id: "0",
    State: { Running: true, Pid: 5 },
    Config: { User: "1000:1000" },
    HostConfig: { ...HOST, ...changes.host },
    Mounts: [{ Type: "bind", Source: "/h", Destination: "/home/node", RW: true }],
    NetworkSettings: { Networks: { none: {} }, Ports: {} },
    ...changes.other,
  });
}

describe("inspectRecord", () => {
  it("finds nothing wrong with what was asked for", () => {
    expect(inspectRecord(record(), BODY)).toEqual([]);
  });

  it.each([
    [{ NetworkMode: "host" }, /its network: "host"/],
    [{ Privileged: true }, /privileged/],
    [{ CapAdd: ["NET_RAW"] }, /added capabilities/],
    [{ CapDrop: [] }, /dropped capabilities/],
    [{ ReadonlyRootfs: false }, /read-only root/],
    [{ SecurityOpt: ["no-new-privileges"] }, /system-call filter/],
    [{ SecurityOpt: SECURITY.slice(1) }, /new privileges/],
    [{ PidMode: "host" }, /pid namespace/],
    [{ IpcMode: "host" }, /ipc namespace/],
    [{ Devices: [{ PathOnHost: "/dev/kvm" }] }, /devices/],
    [{ Memory: 0 }, /limit of memory/],
  ])("says what the engine did otherwise: %j", (host, fault) => {
    expect(inspectRecord(record({ host }), BODY).join()).toMatch(fault);
  });

  it("says which mount nobody asked for, and which is writable", () => {
    const socket = { Type: "bind", Source: "/s", Destination: "/run/docker.sock", RW: true };
    expect(inspectRecord(record({ other: { Mounts: [socket] } }), BODY)).toEqual([
      "the engine mounted /run/docker.sock, which nobody asked for",
    ]);
    const mount = { Type: "bind", Source: "/h", Target: "/home/node", ReadOnly: true } as const;
    const asked = { ...BODY, HostConfig: { ...BODY.HostConfig, Mounts: [mount] } };
    expect(inspectRecord(record(), asked)).toEqual(["/home/node is writable in the guest"]);
  });

  it("finds ports that are published and networks that were joined later", () => {
    const NetworkSettings = {
      Networks: { none: {}, bridge: {} },
      Ports: { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "80" }] },
    };
    const faults = inspectRecord(record({ other: { NetworkSettings } }), BODY).join();
    expect(faults).toMatch(/networks it is on: "none,bridge"/);
    expect(faults).toMatch(/published ports: "80\/tcp"/);
  });
});
