// The bundle in a container as its owner and its neighbours see it: confinement, secrets, restarts, ends, and by hand.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { parseBottleId, parseHostPath } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/log.ts";
import { ensureNetwork, removeNetwork } from "../../src/bundle/container-network.ts";
import { reapBundle } from "../../src/bundle/reap-bundle.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { ensureBundleImage } from "../../src/images/ensure-image.ts";
import { readHomeId } from "../../src/process/ownership.ts";
import { verifyAudit } from "../../src/protocol/audit-read.ts";
import { testBase } from "../support/docker.ts";
import { docker } from "../support/docker-command.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

const TOKEN = "sk-never-in-the-environment-31337";
const OWNER = join(import.meta.dirname, "egress-support/bundle-owner.ts");
const ports = { clock: systemClock, log: silentLogger, env: process.env };
/** Third octets that the plans of bottles may meet too: taken from the far end. */
let octet = 250;
let built: string | undefined;
let base: string;
let image: string | undefined;

interface Line {
  readonly kind: string;
  readonly [field: string]: unknown;
}

class Owner implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "bundle-container-"));
  readonly lines: Line[] = [];
  readonly octet: string;
  readonly process: ChildProcess;
  #waiting: (() => void)[] = [];

  constructor(shared?: string) {
    octet -= 1;
    this.octet = shared ?? String(octet);
    for (const name of ["doors", "queue", "logs"]) mkdirSync(join(this.directory, name));
    const argv = [OWNER, this.directory, join(built ?? "", "bundle.js"), TOKEN, "/usr/bin:/bin"];
    const env = { ...process.env, BOT_BOTTLE_BASE_IMAGE: base };
    const stdio: ["pipe", "pipe", "inherit"] = ["pipe", "pipe", "inherit"];
    this.process = spawn(process.execPath, [...argv, this.octet], { stdio, cwd: "/", env });
    if (this.process.stdout === null) throw new Error("no stdout");
    const add = (line: Line): void => {
      this.lines.push(line);
      for (const wake of this.#waiting.splice(0)) wake();
    };
    createInterface({ input: this.process.stdout }).on("line", (line) =>
      add(JSON.parse(line) as Line),
    );
    this.process.once("exit", (code) => add({ kind: "failed", message: `exited with ${code}` }));
  }

  get container(): string {
    return `bot-bottle-sidecars-test-bottle-${this.octet}`;
  }

  get address(): string {
    return `192.168.${this.octet}.2`;
  }

  async next(kind: string, count = 1): Promise<Line> {
    for (;;) {
      const found = this.lines.filter((it) => it.kind === kind || it.kind === "failed")[count - 1];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  say(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  /** What curl inside the bundle's container gets of its own door, seen from the bottle's network. */
  ask(url: string): string {
    const curl = ["curl", "-s", "-m", "3", "-x", `http://${this.address}:9099`, url];
    return docker("exec", this.container, ...curl);
  }

  leftovers(): string {
    const label = `label=bot-bottle.bottle=test-bottle-${this.octet}`;
    return (
      docker("ps", "-aq", "--filter", label) + docker("network", "ls", "-q", "--filter", label)
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    const resources = this.lines.find((it) => it.kind === "resources")?.["resources"];
    const objects = (resources as { objects?: Record<string, string[]> } | undefined)?.objects;
    const homeId = readHomeId(join(this.directory, "cache"));
    await reapBundle(objects ?? {}, { ...ports, homeId });
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const eventually = (check: () => void, timeout = 8_000): Promise<void> =>
  vi.waitFor(check, { timeout, interval: 100 });

/** Builds the entry file and the image around it, once for the whole file. */
async function prepare(): Promise<void> {
  if (image !== undefined) return;
  built = mkdtempSync(join(tmpdir(), "bundle-built-"));
  const outfile = join(built ?? "", "bundle.js");
  const entry = join(import.meta.dirname, "../../src/bundle/main.ts");
  const options = { bundle: true, platform: "node", format: "iife", target: "node24" } as const;
  await build({ ...options, entryPoints: [entry], outfile, logLevel: "warning" });
  const suffixes = join(import.meta.dirname, "../../src/bundle/suffixes.ts");
  const beside = { entryPoints: [suffixes], outfile: join(built, "suffixes.js") };
  await build({ ...options, ...beside, format: "cjs", logLevel: "warning" });
  base = testBase();
  using engine = await openEngine(process.env);
  const env = { ...process.env, BOT_BOTTLE_BASE_IMAGE: base };
  const imagePorts = { engine, env, signal: undefined, onProgress: () => undefined };
  image = (await ensureBundleImage(parseHostPath(outfile), imagePorts)).id;
}
afterAll(() => rmSync(built ?? "", { recursive: true, force: true }));

describe("a bundle in a container", requires("docker"), () => {
  let owner: Owner;

  beforeAll(prepare, 120_000);
  afterEach(() => owner?.[Symbol.asyncDispose]());

  it("becomes ready at its pinned address, enforces, reloads and leaves nothing", async () => {
    owner = new Owner();
    expect(await owner.next("ready")).toMatchObject({
      kind: "ready",
      attachment: { endpoints: { proxy: { host: owner.address, port: 9099 } } },
    });
    expect(owner.lines[0]?.kind).toBe("resources");
    expect(owner.ask("http://evil.test/")).toContain("egress: host-not-allowed");
    expect((await owner.next("event"))["event"]).toMatchObject({ verdict: "deny" });
    owner.say("reload");
    expect((await owner.next("reloaded"))["refused"]).toMatch(/refused its new policy/);
    expect(await verifyAudit(join(owner.directory, "audit.jsonl"))).toMatchObject({ ok: true });
    owner.say("stop");
    expect(await owner.next("closed")).toEqual({ kind: "closed" });
    await eventually(() => expect(owner.leftovers()).toBe(""));
    const log = readFileSync(join(owner.directory, "logs/bundle.log"), "utf8");
    expect(log).toMatch(/^\[egress\] .*loaded 1 route/m);
    expect(log).toMatch(/^\[bundle\] .*stopped by the owner/m);
  });

  it("is confined, and shows no secret", async () => {
    owner = new Owner();
    await owner.next("ready");
    const record = docker("inspect", owner.container);
    expect(record).not.toContain(TOKEN);
    expect(record).not.toContain("PRIVATE KEY");
    const look =
      "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; cat /proc/1/status /proc/net/route";
    const seen = docker("exec", owner.container, "sh", "-c", `{ ${look}; } | tr '\\0' '\\n'`);
    expect(seen).not.toContain(TOKEN);
    for (const line of ["CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"])
      expect(seen).toContain(line);
    expect(() => docker("exec", owner.container, "touch", "/app/x")).toThrow(/Read-only/);
    expect(docker("exec", owner.container, "cat", "/proc/sys/net/ipv4/ip_forward").trim()).toBe(
      "0",
    );
    const [body] = JSON.parse(record) as [{ HostConfig: Record<string, unknown>; Mounts: Mount[] }];
    expect(body?.HostConfig).toMatchObject({
      ...{ ReadonlyRootfs: true, CapDrop: ["ALL"], AutoRemove: true, PidsLimit: 256 },
      ...{ Privileged: false, PortBindings: {}, LogConfig: { Type: "none" } },
    });
    const writable = body?.Mounts.filter((it) => it.RW).map((it) => it.Source);
    expect(writable?.toSorted()).toEqual(
      ["audit.jsonl", "queue"].map((name) => join(owner.directory, name)),
    );
  });

  it("listens on the bottle's network only, and speaks to nobody else", async () => {
    owner = new Owner();
    await owner.next("ready");
    const listening = docker("exec", owner.container, "cat", "/proc/net/tcp", "/proc/net/tcp6")
      .split("\n")
      .flatMap((line) => (/ 0A /.test(line) ? [line.trim().split(/\s+/)[1] ?? ""] : []))
      // The engine's own resolver is in every container.
      .filter((address) => !address.startsWith("0B00007F:"));
    const hex = Number(owner.octet).toString(16).toUpperCase().padStart(2, "0");
    expect(listening).toEqual([`02${hex}A8C0:238B`]);
    const curl = ["curl", "-s", "-m", "3", "--interface", "eth1", "-x"];
    const proxy = `http://${owner.address}:9099`;
    expect(() => docker("exec", owner.container, ...curl, proxy, "http://evil.test/")).toThrow();
  });

  it("is restarted when it dies, then given up, and leaves nothing", async () => {
    owner = new Owner();
    await owner.next("ready");
    for (const count of [1, 2, 3, 4]) {
      await eventually(() => docker("exec", owner.container, "true"));
      docker("kill", "-s", "KILL", owner.container);
      expect(
        await owner.next(count <= 3 ? "restart" : "died", count <= 3 ? count : 1),
      ).toMatchObject({
        kind: count <= 3 ? "restart" : "died",
      });
      if (count === 1)
        await eventually(() => expect(owner.ask("http://e.test/")).toContain("egress:"));
    }
    await eventually(() => expect(owner.leftovers()).toBe(""));
  }, 40_000);

  it("is gone within seconds when its owner is killed, and its networks with the reaper", async () => {
    owner = new Owner();
    await owner.next("ready");
    owner.process.kill("SIGKILL");
    await eventually(() =>
      expect(docker("ps", "-aq", "--filter", `name=${owner.container}`)).toBe(""),
    );
    await owner[Symbol.asyncDispose]();
    expect(owner.leftovers()).toBe("");
  });

  it("is one only: a second owner of the same bottle is refused and harms nothing", async () => {
    owner = new Owner();
    await owner.next("ready");
    const second = new Owner(owner.octet);
    const failed = await second.next("ready");
    second.process.kill("SIGKILL");
    rmSync(second.directory, { recursive: true, force: true });
    expect(failed).toMatchObject({ kind: "failed", code: "launch.name-taken" });
    expect(owner.ask("http://evil.test/")).toContain("egress: host-not-allowed");
  });
});

interface Mount {
  readonly RW: boolean;
  readonly Source: string;
}

describe("the networks of a bundle", requires("docker"), () => {
  const id = parseBottleId("network-test");
  const name = `bot-bottle-net-${id}`;
  const body = (subnet: string, options: Record<string, string> = {}) => ({
    Name: name,
    Driver: "bridge",
    CheckDuplicate: true,
    Internal: true,
    Labels: { "bot-bottle.bottle": id },
    Options: options,
    IPAM: { Driver: "default", Config: [{ Subnet: subnet, Gateway: subnet.replace("0/24", "1") }] },
  });

  it("are made once by two who race, and removed once by two", async () => {
    using engine = await openEngine(process.env);
    await removeNetwork(engine, name, ports);
    const made = await Promise.all(
      [1, 2, 3].map(() => ensureNetwork(engine, body("192.168.251.0/24"), systemClock)),
    );
    expect(new Set(made.map((it) => it.id)).size).toBe(1);
    expect(made.filter((it) => it.isNew)).toHaveLength(1);
    expect(docker("network", "ls", "-q", "--filter", `name=${name}`).split("\n")).toHaveLength(1);
    await Promise.all([1, 2].map(() => removeNetwork(engine, name, ports)));
    expect(await engine.networks.inspect(name)).toBeUndefined();
    await removeNetwork(engine, name, ports);
  });

  it("are refused when one of the name is not as planned", async () => {
    using engine = await openEngine(process.env);
    await ensureNetwork(engine, body("192.168.251.0/24"), systemClock);
    const inhibit = { "com.docker.network.bridge.inhibit_ipv4": "true" };
    const other = (wanted: object) =>
      expect(ensureNetwork(engine, { ...body("192.168.251.0/24"), ...wanted }, systemClock))
        .rejects;
    await other({ Options: inhibit }).toThrow(/inhibit_ipv4 is unset/);
    await other({ Internal: false }).toThrow(/internal is true/);
    await other({ Labels: { "bot-bottle.bottle": "b" } }).toThrow(/no label/);
    await other({ IPAM: body("192.168.252.0/24").IPAM }).toThrow(/subnet is 192\.168\.251/);
    await removeNetwork(engine, name, ports);
  });
});

describe("a bundle that is run by hand", requires("docker"), () => {
  beforeAll(prepare, 120_000);
  const routes = {
    routes: [{ host: "api.example.test", token: "EGRESS_TOKEN_0", paths: ["/v1/"] }],
    log: 1,
  };

  function runByHand(
    env: readonly string[],
    files: Record<string, string> = {},
    mode = 0o755,
  ): string {
    const directory = tempDir("by-hand-");
    for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text);
    chmodSync(directory, mode);
    const variables = env.flatMap((it) => ["-e", it]);
    const argv = ["run", "-d", "--read-only", "--cap-drop", "ALL", ...variables];
    return docker(...argv, "-v", `${directory}:/etc/egress:ro`, image ?? "");
  }

  const logs = (container: string): string =>
    execFileSync("sh", ["-c", `docker logs ${container} 2>&1`], {
      encoding: "utf8",
      timeout: 60_000,
    });

  function remove(container: string): void {
    docker("rm", "-f", container);
  }

  it("enforces the routes file, reaps, and ends within its grace with status 0", async () => {
    const env = ["EGRESS_TOKEN_0=tok-123", "SUPERVISE_PORT=9100"];
    const container = runByHand(env, { "routes.yaml": JSON.stringify(routes) });
    try {
      await eventually(() => expect(logs(container)).toContain("END CERTIFICATE"));
      expect(logs(container)).toMatch(/no supervise: SUPERVISE_PORT/);
      expect(logs(container)).not.toContain("tok-123");
      const curl = "curl -s -m 10 -x http://127.0.0.1:9099";
      const ask = `${curl} http://evil.test/; ${curl} http://api.example.test/`;
      const answer = docker("exec", container, "sh", "-c", ask);
      expect(answer).toContain("egress: host-not-allowed");
      expect(answer).toContain("egress: no-match");
      docker("exec", container, "sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.1 &); done");
      await eventually(() =>
        expect(docker("top", container, "-eo", "pid,stat,args")).not.toMatch(/^\d+\s+Z/m),
      );
      docker("kill", "-s", "HUP", container);
      await eventually(() => expect(logs(container).match(/loaded 1 route/g)).toHaveLength(2));
      docker("kill", "-s", "USR1", container);
      await eventually(() => expect(logs(container)).toContain("no pipelock runs here"));
      docker("stop", "-t", "9", container);
      expect(docker("inspect", "-f", "{{.State.ExitCode}}", container)).toBe("0");
    } finally {
      remove(container);
    }
  }, 40_000);

  it.each([
    ["BOT_BOTTLE_SIDECAR_DAEMONS=egress,nonsense", /nonsense\\+" is not a daemon/],
    ["EGRESS_LISTEN_HOST=everywhere", /EGRESS_LISTEN_HOST cannot be used/],
    ["EGRESS_UPSTREAM_CA=/nowhere.pem", /\/nowhere\.pem cannot be used: .*ENOENT/],
    ["EGRESS_TOKEN_1=x", /EGRESS_TOKEN_0 cannot be used: it is not set/],
  ])("ends with status 1 and a reason: %s", async (variable, reason) => {
    const container = runByHand([variable], {
      "routes.json": JSON.stringify(variable.includes("TOKEN_1") ? routes : { routes: [] }),
    });
    try {
      await eventually(() =>
        expect(docker("inspect", "-f", "{{.State.Status}}", container)).toBe("exited"),
      );
      expect(docker("inspect", "-f", "{{.State.ExitCode}}", container)).toBe("1");
      expect(logs(container)).toMatch(reason);
    } finally {
      remove(container);
    }
  });

  it.each([
    ["*.github.io", "github.io is a public suffix"],
    ["*.co.uk:8443", "co.uk is a public suffix"],
    ["*.example.com", "loaded 1 route"],
  ])("judges a wildcard as a bottle file does: %s", async (host, said) => {
    const container = runByHand([], { "routes.json": JSON.stringify({ routes: [{ host }] }) });
    try {
      await eventually(() => expect(logs(container)).toContain(said));
    } finally {
      remove(container);
    }
  });

  it("takes routes that it may not read for an error, not for none", async () => {
    const container = runByHand([], { "routes.json": JSON.stringify({ routes: [] }) }, 0o700);
    try {
      await eventually(() =>
        expect(logs(container)).toMatch(/routes\.json cannot be used: .*EACCES/),
      );
    } finally {
      remove(container);
    }
  });

  it("idles without daemons", async () => {
    const container = runByHand(["BOT_BOTTLE_SIDECAR_DAEMONS="]);
    try {
      await eventually(() => expect(logs(container)).toContain("no daemons selected"));
      expect(docker("inspect", "-f", "{{.State.Running}}", container)).toBe("true");
    } finally {
      remove(container);
    }
  });
});
