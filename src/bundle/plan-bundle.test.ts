import { describe, expect, it } from "vitest";
import { parseBottleId, parseHostPath } from "../base/ids.ts";
import type { Route } from "../policy/egress.ts";
import type { BundlePlan } from "./contract.ts";
import { planBundle } from "./plan-bundle.ts";
import { renderSandbox, type SandboxFacts } from "./render-sandbox.ts";

const auth = (slot: string): Route["auth"] => ({
  carrier: { kind: "bearer" },
  slot,
  placeholder: "p",
  requirePlaceholder: false,
});
const route = (host: string, slot?: string): Route => ({
  rule: host,
  host,
  port: undefined,
  matches: [],
  auth: slot === undefined ? undefined : auth(slot),
  outboundOnMatch: "block",
  scansOutbound: true,
  allowsGitFetch: false,
});

const plan: BundlePlan = planBundle({
  id: parseBottleId("demo-x1"),
  paths: {
    doors: parseHostPath("/h/run/1a/doors"),
    queue: parseHostPath("/h/queue/demo-x1"),
    audit: parseHostPath("/h/audit/demo-x1.jsonl"),
    logs: parseHostPath("/h/state/demo-x1/logs"),
  },
  cacheDir: parseHostPath("/h/cache"),
  attachment: "sockets",
  network: undefined,
  nodePath: parseHostPath("/opt/node/bin/node"),
  entryPath: parseHostPath("/opt/bot-bottle/dist/bundle.js"),
  egress: {
    policy: {
      routes: [
        route("a.test", "EGRESS_TOKEN_0"),
        route("b.test", "EGRESS_TOKEN_0"),
        route("c.test"),
      ],
      resolve: {},
    },
    logLevel: 0,
    upstreamCa: [],
    upstreamProxy: undefined,
    scanSlots: ["ENV_NPM_TOKEN", "CANARY"],
    placeholders: [],
  },
});

describe("a bundle's plan", () => {
  it("gives egress its own slots, each once", () => {
    expect(plan.daemons).toMatchObject([
      {
        name: "egress",
        socket: "proxy.sock",
        secretSlots: ["EGRESS_CA_KEY", "EGRESS_TOKEN_0", "ENV_NPM_TOKEN", "CANARY"],
      },
    ]);
    expect(plan.logFile).toBe("/h/state/demo-x1/logs/bundle.log");
  });
});

describe("the sandbox", () => {
  const facts: SandboxFacts = {
    bwrapPath: "/usr/bin/bwrap",
    coreLimit: [],
    isRoot: false,
    system: [
      { path: "/bin", target: "usr/bin" },
      { path: "/lib64", target: undefined },
    ],
  };
  const text = (facts_: SandboxFacts): string =>
    renderSandbox(plan, facts_).join(" ").replaceAll(" --", "\n--");

  it("is this command line", () => {
    expect(text(facts)).toMatchInlineSnapshot(`
      "/usr/bin/bwrap
      --unshare-user
      --unshare-pid
      --unshare-ipc
      --unshare-uts
      --unshare-cgroup-try
      --hostname bundle
      --cap-drop ALL
      --new-session
      --die-with-parent
      --ro-bind /usr /usr
      --symlink usr/bin /bin
      --ro-bind /lib64 /lib64
      --ro-bind-try /etc/resolv.conf /etc/resolv.conf
      --ro-bind-try /etc/hosts /etc/hosts
      --ro-bind-try /etc/nsswitch.conf /etc/nsswitch.conf
      --ro-bind-try /etc/gai.conf /etc/gai.conf
      --ro-bind-try /etc/localtime /etc/localtime
      --ro-bind-try /etc/ssl/certs /etc/ssl/certs
      --ro-bind-try /etc/ssl/cert.pem /etc/ssl/cert.pem
      --ro-bind-try /etc/ssl/ca-bundle.pem /etc/ssl/ca-bundle.pem
      --ro-bind-try /etc/ssl/openssl.cnf /etc/ssl/openssl.cnf
      --ro-bind-try /etc/ca-certificates /etc/ca-certificates
      --ro-bind-try /etc/ca-certificates.conf /etc/ca-certificates.conf
      --ro-bind-try /etc/pki/ca-trust /etc/pki/ca-trust
      --ro-bind-try /etc/pki/tls/certs /etc/pki/tls/certs
      --ro-bind-try /etc/pki/tls/cert.pem /etc/pki/tls/cert.pem
      --ro-bind-try /etc/pki/tls/openssl.cnf /etc/pki/tls/openssl.cnf
      --proc /proc
      --ro-bind /proc/sys /proc/sys
      --dev /dev
      --size 16777216
      --tmpfs /tmp
      --ro-bind /opt/node/bin/node /run/bundle/node
      --ro-bind /opt/bot-bottle/dist/bundle.js /run/bundle/main.js
      --bind /h/run/1a/doors /run/bundle/doors
      --bind /h/queue/demo-x1 /run/bundle/queue
      --ro-bind-try /h/queue/demo-x1/decisions /run/bundle/queue/decisions
      --bind /h/audit/demo-x1.jsonl /run/bundle/audit.jsonl
      --remount-ro /
      --chdir /
      --clearenv
      --setenv PATH /usr/bin:/bin
      --setenv LANG C.UTF-8
      -- /run/bundle/node
      --disable-sigusr1
      --max-semi-space-size=4 /run/bundle/main.js"
    `);
  });

  it("differs for root by the user namespace only", () => {
    const root = text({ ...facts, isRoot: true });
    expect(root).toBe(text(facts).replace("\n--unshare-user", ""));
  });

  it("holds no path of the operator that can be written, except three", () => {
    const argv = renderSandbox(plan, facts);
    const bound = argv.flatMap((word, index) => (word === "--bind" ? [argv[index + 1]] : []));
    expect(bound).toEqual([plan.doorsDir, plan.queueDir, plan.auditFile]);
  });
});
