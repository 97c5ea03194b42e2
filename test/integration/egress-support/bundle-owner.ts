// Owns one bundle, as a launch does: prints what happens as JSON lines and obeys lines on stdin. Killing it is killing an owner.
import { createInterface } from "node:readline";
import { systemClock } from "../../../src/base/clock.ts";
import { parseBottleId, parseHostPath } from "../../../src/base/ids.ts";
import { silentLogger } from "../../../src/base/log.ts";
import { Secret } from "../../../src/base/secret.ts";
import { createProcessBundleHost } from "../../../src/bundle/launch-bundle.ts";
import { createContainerBundleHost } from "../../../src/bundle/launch-container.ts";
import { planBundle } from "../../../src/bundle/plan-bundle.ts";
import { CA_KEY_SLOT } from "../../../src/policy/egress.ts";
import { createExec } from "../../../src/process/spawn.ts";
import { createAuthority } from "../../../src/tls/authority.ts";

// With a subnet's third octet the bundle is a container on that network; without one it is a process.
const [directory = "", entry = "", token = "", searchPath = "/usr/bin:/bin", octet = ""] =
  process.argv.slice(2);
const slug = octet === "" ? "test-bottle" : `test-bottle-${octet}`;
const network =
  octet === ""
    ? undefined
    : {
        name: `bot-bottle-net-${slug}`,
        subnet: `192.168.${octet}.0/24`,
        gateway: `192.168.${octet}.1`,
        bundleAddress: `192.168.${octet}.2`,
      };
const say = (kind: string, fields: object = {}): void => {
  process.stdout.write(`${JSON.stringify({ kind, ...fields })}\n`);
};
const auth = {
  carrier: { kind: "bearer" },
  slot: "EGRESS_TOKEN_0",
  placeholder: "a-placeholder",
  requirePlaceholder: false,
} as const;
const route = {
  rule: "egress.routes[0]",
  host: "api.example.test",
  port: undefined,
  matches: [],
  auth,
  outboundOnMatch: "block",
  scansOutbound: true,
  allowsGitFetch: false,
} as const;
const authority = createAuthority({ commonName: "test", now: Date.now() });
const plan = planBundle({
  id: parseBottleId(slug),
  paths: {
    doors: parseHostPath(`${directory}/doors`),
    queue: parseHostPath(`${directory}/queue`),
    audit: parseHostPath(`${directory}/audit.jsonl`),
    logs: parseHostPath(`${directory}/logs`),
  },
  cacheDir: parseHostPath(`${directory}/cache`),
  attachment: network === undefined ? "sockets" : "internal",
  network,
  nodePath: parseHostPath(process.execPath),
  entryPath: parseHostPath(entry),
  egress: {
    policy: { routes: [route], resolve: {} },
    logLevel: 0,
    upstreamCa: [],
    upstreamProxy: undefined,
    scanSlots: [],
    placeholders: [],
  },
});

try {
  const started = performance.now();
  const host = network === undefined ? createProcessBundleHost() : createContainerBundleHost();
  const { env } = process;
  const bundle = await host.launch(plan, {
    ports: { exec: createExec(), clock: systemClock, log: silentLogger, searchPath, env },
    secrets: new Map([
      ["EGRESS_TOKEN_0", new Secret("EGRESS_TOKEN_0", token)],
      [CA_KEY_SLOT, new Secret(CA_KEY_SLOT, authority.keyPem)],
    ]),
    configOverlay: { egress: { caCertificate: authority.certificatePem } },
    signal: undefined,
    onProgress: () => undefined,
    onEvent: (event) => say("event", { event }),
    onResources: (resources) => {
      say("resources", { resources });
      return Promise.resolve();
    },
    onRestart: (reason) => say("restart", { reason }),
  });
  const ms = performance.now() - started;
  say("ready", { pid: bundle.pid, ms, attachment: bundle.attachment });
  bundle.closed.then(
    () => say("closed"),
    (error: { code: string; message: string }) =>
      say("died", { code: error.code, message: error.message }),
  );
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "pid") say("pid", { pid: bundle.pid });
    if (line === "reload") {
      const [daemon] = plan.daemons;
      const config = { ...(daemon?.config as object), policy: { routes: [], resolve: {} } };
      await bundle.reload("egress", config);
      const refused = await bundle
        .reload("egress", { nonsense: true })
        .catch((error: Error) => error.message);
      say("reloaded", { refused });
    }
    if (line === "stop") await bundle[Symbol.asyncDispose]();
  }
} catch (error) {
  const { name, code, message, hint } = error as {
    name: string;
    code: string;
    message: string;
    hint: string;
  };
  say("failed", { name, code, message, hint });
}
