import { describe, expect, it } from "vitest";
import { parseBottleId, parseHostPath } from "../base/ids.ts";
import type { BundlePlan } from "./contract.ts";
import { renderBottleNetwork, renderContainer, renderEgressNetwork } from "./render-container.ts";

const network = {
  name: "bot-bottle-net-demo-x1",
  subnet: "192.168.40.0/24",
  gateway: "192.168.40.1",
  bundleAddress: "192.168.40.2",
};
const plan: BundlePlan = {
  id: parseBottleId("demo-x1"),
  host: "container",
  network,
  publish: "none",
  daemons: [{ name: "egress", config: {}, secretSlots: ["EGRESS_TOKEN_0"], socket: "proxy.sock" }],
  doorsDir: parseHostPath("/h/run/1a/doors"),
  queueDir: parseHostPath("/h/queue/demo-x1"),
  auditFile: parseHostPath("/h/audit/demo-x1.jsonl"),
  logFile: parseHostPath("/h/state/demo-x1/logs/bundle.log"),
  nodePath: parseHostPath("/opt/node/bin/node"),
  entryPath: parseHostPath("/opt/bot-bottle/dist/bundle.js"),
  cacheDir: parseHostPath("/h/cache"),
};
const ownership = { "bot-bottle.home": "h1", "bot-bottle.owner": "7 100 boot pid:[1]" };
const facts = {
  ownership,
  image: "sha256:1",
  user: "1000:1000",
  hasDecisions: true,
  rootsFile: "/h/cache/roots/1.pem",
  publishOn: undefined,
};

describe("a bundle's container", () => {
  it("is made of this", () => {
    expect(renderContainer(plan, network, facts)).toMatchInlineSnapshot(`
      {
        "AttachStderr": true,
        "AttachStdin": true,
        "AttachStdout": true,
        "Cmd": [],
        "Entrypoint": [
          "/bin/sh",
          "/app/init.sh",
        ],
        "Env": [
          "LANG=C.UTF-8",
        ],
        "Healthcheck": {
          "Test": [
            "NONE",
          ],
        },
        "HostConfig": {
          "AutoRemove": true,
          "CapDrop": [
            "ALL",
          ],
          "IpcMode": "private",
          "LogConfig": {
            "Type": "none",
          },
          "Memory": 1073741824,
          "MemorySwap": 1073741824,
          "Mounts": [
            {
              "BindOptions": {
                "NonRecursive": true,
                "Propagation": "rprivate",
              },
              "ReadOnly": false,
              "Source": "/h/queue/demo-x1",
              "Target": "/run/supervise/queue",
              "Type": "bind",
            },
            {
              "BindOptions": {
                "NonRecursive": true,
                "Propagation": "rprivate",
              },
              "ReadOnly": true,
              "Source": "/h/queue/demo-x1/decisions",
              "Target": "/run/supervise/queue/decisions",
              "Type": "bind",
            },
            {
              "BindOptions": {
                "NonRecursive": true,
                "Propagation": "rprivate",
              },
              "ReadOnly": false,
              "Source": "/h/audit/demo-x1.jsonl",
              "Target": "/run/bundle/audit.jsonl",
              "Type": "bind",
            },
            {
              "BindOptions": {
                "NonRecursive": true,
                "Propagation": "rprivate",
              },
              "ReadOnly": true,
              "Source": "/h/cache/roots/1.pem",
              "Target": "/etc/ssl/certs/ca-certificates.crt",
              "Type": "bind",
            },
          ],
          "NetworkMode": "bot-bottle-net-demo-x1",
          "PidsLimit": 256,
          "PortBindings": {},
          "ReadonlyRootfs": true,
          "RestartPolicy": {
            "Name": "no",
          },
          "SecurityOpt": [
            "no-new-privileges",
          ],
          "Sysctls": {
            "net.ipv4.conf.all.accept_source_route": "0",
            "net.ipv4.ip_forward": "0",
          },
          "Tmpfs": {
            "/tmp": "rw,noexec,nosuid,nodev,size=16777216",
          },
        },
        "Hostname": "bundle",
        "Image": "sha256:1",
        "Labels": {
          "bot-bottle.bottle": "demo-x1",
          "bot-bottle.home": "h1",
          "bot-bottle.owner": "7 100 boot pid:[1]",
          "bot-bottle.role": "bundle",
        },
        "NetworkingConfig": {
          "EndpointsConfig": {
            "bot-bottle-net-demo-x1": {
              "IPAMConfig": {
                "IPv4Address": "192.168.40.2",
              },
            },
          },
        },
        "OpenStdin": true,
        "StdinOnce": true,
        "Tty": false,
        "User": "1000:1000",
        "WorkingDir": "/",
      }
    `);
  });

  it("holds no slot of a secret", () => {
    expect(JSON.stringify(renderContainer(plan, network, facts))).not.toContain("TOKEN");
  });

  it("can write its queue and its audit file, and not the operator's answers", () => {
    const mounts = renderContainer(plan, network, facts).HostConfig.Mounts ?? [];
    const writable = mounts.filter((it) => !it.ReadOnly).map((it) => it.Source);
    expect(writable).toEqual([plan.queueDir, plan.auditFile]);
  });
});

describe("its networks", () => {
  it("are the bottle's own, without a way out and without an address of the host", () => {
    expect(renderBottleNetwork(plan, network, ownership)).toMatchInlineSnapshot(`
      {
        "CheckDuplicate": true,
        "Driver": "bridge",
        "EnableIPv6": false,
        "IPAM": {
          "Config": [
            {
              "Gateway": "192.168.40.1",
              "IPRange": "192.168.40.128/25",
              "Subnet": "192.168.40.0/24",
            },
          ],
          "Driver": "default",
        },
        "Internal": true,
        "Labels": {
          "bot-bottle.bottle": "demo-x1",
          "bot-bottle.home": "h1",
          "bot-bottle.owner": "7 100 boot pid:[1]",
          "bot-bottle.role": "network",
        },
        "Name": "bot-bottle-net-demo-x1",
        "Options": {
          "com.docker.network.bridge.inhibit_ipv4": "true",
        },
      }
    `);
  });

  it("are a bridge of its own to the world", () => {
    expect(renderEgressNetwork(plan.id, ownership)).toMatchInlineSnapshot(`
      {
        "CheckDuplicate": true,
        "Driver": "bridge",
        "EnableIPv6": false,
        "Internal": false,
        "Labels": {
          "bot-bottle.bottle": "demo-x1",
          "bot-bottle.home": "h1",
          "bot-bottle.owner": "7 100 boot pid:[1]",
          "bot-bottle.role": "egress",
        },
        "Name": "bot-bottle-egress-demo-x1",
        "Options": {
          "com.docker.network.bridge.enable_icc": "false",
        },
      }
    `);
  });
});
