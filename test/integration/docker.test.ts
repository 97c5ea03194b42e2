// The docker backend on the real engine: what the contract of all backends does not ask.
import { spawn } from "node:child_process";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { GuestPlan } from "../../src/backends/contract.ts";
import { reapDocker } from "../../src/backends/docker/reap.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { type Bottle, openBackend, parseHostPath } from "../../src/index.ts";
import { readOwner } from "../../src/process/identity.ts";
import { ownershipLabels } from "../../src/process/ownership.ts";
import { createExec } from "../../src/process/spawn.ts";
import { makeWorld } from "../support/bottle-world.ts";
import { testBase } from "../support/docker.ts";
import { openDockerBottle } from "../support/docker-bottle.ts";
import { docker } from "../support/docker-command.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

const main = join(import.meta.dirname, "../../src/cli/main.ts");
const COMMAND = "agent_provider: { template: command, settings: { argv: [/bin/true] } }";
const ports = {
  exec: createExec(),
  clock: systemClock,
  log: silentLogger,
  searchPath: process.env["PATH"] ?? "",
  env: {},
};

/** Done as the guest's own user: nothing of it may reach the first process. */
const DEFY = `
  for each in /proc/[1-9]*; do
    pid=\${each#/proc/}
    [ "$pid" = $$ ] && continue
    setsid sleep 300 9>"$each/fd/0" </dev/null >/dev/null 2>&1 &
    setsid sleep 300 9>"$each/fd/3" </dev/null >/dev/null 2>&1 &
  done 2>/dev/null
  sleep 0.2
  for each in /proc/[1-9]*; do
    pid=\${each#/proc/}
    [ "$pid" = $$ ] && continue
    grep -qz guest-init $each/cmdline && kill -STOP $pid && stopped=1
    grep -qz 'read -r _' $each/cmdline && [ "$pid" != 1 ] && kill -STOP $pid && exit 3
  done
  kill -KILL 1 && exit 4
  [ "$stopped" = 1 ]
`;

const sh = async (bottle: Bottle, script: string): Promise<string> =>
  (await bottle.exec(["/bin/sh", "-c", script])).stdout.toString().trim();

/** An archive without an entry. */
function emptyTar(): string {
  const path = join(tempDir("docker-empty-"), "empty.tar");
  writeFileSync(path, Buffer.alloc(1024));
  return path;
}

const containers = (label: string): string =>
  docker("ps", "--all", "--quiet", "--filter", `label=${label}`);

describe("a guest in a container", requires("docker"), () => {
  it("runs as a user of its own without any right, and reaps what is orphaned", async () => {
    await using bottle = await openDockerBottle(makeWorld());
    const status = await sh(bottle, "cat /proc/self/status");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      expect(status).toMatch(new RegExp(`^${set}:\\s0{16}$`, "m"));
    expect(status).toMatch(/^NoNewPrivs:\s1$/m);
    expect(status).toMatch(/^Seccomp:\s2$/m);
    expect(await sh(bottle, "id -un; id -u")).toMatch(/^node\n(?!0$)\d+$/);
    await sh(bottle, "for i in 1 2 3; do (sleep 0.05 &) ; done; sleep 0.5");
    expect(await sh(bottle, "grep -l '^State:.Z' /proc/[0-9]*/status")).toBe("");
  });

  it.each(["/opt/bot-bottle", "/opt/bot-bottle/bin"])(
    "is refused a mount at %s, in our words",
    async (path) => {
      const world = makeWorld(`${COMMAND}\nmounts: [{ host: /usr/share, guest: ${path} }]`);
      await expect(openDockerBottle(world)).rejects.toMatchObject({
        message: expect.stringMatching(/a mount cannot be made: .*(the bottle's own|would cover)/),
        hint: expect.stringContaining("choose another guest path"),
      });
    },
  );

  it("is refused an image with a volume, but for what is mounted there anyway", async () => {
    const build = (volumes: string): GuestPlan["image"] => {
      const container = docker("create", testBase()).trim();
      const id = docker("commit", "--change", `VOLUME ${volumes}`, container).trim();
      docker("rm", container);
      onTestFinished(() => void docker("rmi", id));
      return { kind: "reference", reference: id };
    };
    await using bottle = await openDockerBottle(makeWorld(), { image: build("/tmp") });
    expect(await sh(bottle, "echo x >/tmp/x && cat /tmp/x")).toBe("x");
    const image = build("/data /tmp");
    await expect(openDockerBottle(makeWorld(), { image })).rejects.toMatchObject({
      code: "launch.image",
      message: expect.stringMatching(/declares VOLUME \/data: /),
      hint: expect.stringContaining("docs/images.md"),
    });
  });

  it("writes its home, its temporary directories, and nothing else", async () => {
    await using bottle = await openDockerBottle(makeWorld());
    const attempt = (path: string): Promise<string> =>
      sh(bottle, `echo x 2>/dev/null >${path} && echo written`);
    for (const path of ["/home/node/x", "/tmp/x", "/var/tmp/x", "/run/x", "/dev/shm/x"])
      expect([path, await attempt(path)]).toEqual([path, "written"]);
    for (const path of ["/x", "/usr/x", "/etc/hosts", "/etc/passwd", "/run/bot-bottle/doors/x"])
      expect([path, await attempt(path)]).toEqual([path, ""]);
    expect(await sh(bottle, "cat /etc/hosts")).toContain("127.0.0.1 egress");
    expect(await sh(bottle, "head -c 30 /etc/ssl/bot-bottle-ca.pem")).toContain(
      "BEGIN CERTIFICATE",
    );
    expect(statSync(join(bottle.plan.paths.guestHome, "x")).uid).toBe(
      Number(await sh(bottle, "id -u")),
    );
  });

  it("holds memory, processes and temporary space to their limits", async () => {
    const world = makeWorld(`${COMMAND}\nlimits: { memory: 256MiB, processes: 60 }`);
    await using bottle = await openDockerBottle(world);
    expect(bottle.guest.limits.memory).toMatch(/^cgroup v[12]$/);
    const big = await bottle.exec(["node", "-e", "Buffer.alloc(400 << 20, 1); console.log('fit')"]);
    expect(big.stdout.toString()).toBe("");
    expect(await sh(bottle, "echo still here")).toBe("still here");
    const forks = "for i in $(seq 200); do sleep 5 & done 2>&1 | grep -c fork; kill $(jobs -p)";
    expect((await bottle.exec(["/bin/bash", "-c", forks])).stdout.toString().trim()).not.toBe("0");
    expect(await sh(bottle, "df --output=size -B1 /tmp /run /dev/shm | tail -3 | uniq")).toMatch(
      /^\s*268435456$/,
    );
  });

  it("shows the engine no value of its environment", async () => {
    const world = makeWorld(`${COMMAND}\nenv: { PLAIN: value-that-the-engine-must-not-see }`);
    await using bottle = await openDockerBottle(world);
    expect(await sh(bottle, "echo $PLAIN")).toBe("value-that-the-engine-must-not-see");
    const record = docker("inspect", `bot-bottle-${bottle.id}`);
    expect(record).not.toContain("must-not-see");
    expect(record).not.toContain("docker.sock");
    expect(await sh(bottle, "cat /proc/1/environ /proc/*/cmdline | tr '\\0' '\\n'")).not.toContain(
      "must-not-see",
    );
  });

  it.each([
    ["however that ends", "true"],
    ["also when it has stopped guest-init and holds its descriptors", DEFY],
  ])("is gone with its owner, %s", async (_what, script) => {
    const world = makeWorld(`runtime: runc\n${COMMAND}`);
    const args = [
      "start",
      "worker",
      "--yes",
      "--headless",
      "--backend",
      "docker",
      "--label",
      "lease",
    ];
    const owner = spawn(process.execPath, [main, ...args, "--", "/bin/sleep", "300"], {
      cwd: world.project,
      env: { ...world.env, BOT_BOTTLE_HOME: world.home.home, BOT_BOTTLE_IMAGE: testBase() },
      stdio: ["ignore", "ignore", "pipe"],
    });
    onTestFinished(() => void owner.kill("SIGKILL"));
    let said = "";
    owner.stderr.on("data", (chunk: Buffer) => void (said += chunk.toString()));
    await vi.waitFor(() => expect(said).toContain("lease is running"), { timeout: 30_000 });
    const guest = "bot-bottle-lease";
    const user = docker("exec", guest, "stat", "-c", "%u", "/home/node");
    docker("exec", "--user", user, guest, "/bin/bash", "-c", script);
    expect(containers("bot-bottle.bottle=lease")).not.toBe("");
    owner.kill("SIGKILL");
    await vi.waitFor(() => expect(containers("bot-bottle.bottle=lease")).toBe(""), {
      timeout: 15_000,
      interval: 200,
    });
  });

  it("does not take a name that another container has", async () => {
    const name = `bot-bottle-taken-${process.pid}`;
    docker("create", "--name", name, "--network", "none", testBase(), "/bin/true");
    onTestFinished(() => void docker("rm", "--force", name));
    const resources = { processes: [], cgroups: [], objects: { container: [name] } };
    await reapDocker(resources, ports);
    expect(docker("ps", "--all", "--format", "{{.Names}}", "--filter", `name=${name}`)).toBe(name);
    const { openIn } = await import("../support/bottle-world.ts");
    const { dockerWith } = await import("../support/docker-bottle.ts");
    await expect(
      openIn(makeWorld(), { backend: await dockerWith() }, { label: `taken-${process.pid}` }),
    ).rejects.toMatchObject({ code: "launch.name-taken" });
  });

  it("that a dead owner of this home left is reaped by its labels, and no other home's", async () => {
    const make = (name: string, home: string): string => {
      const labels = ["role=guest", "bottle=left", `home=${home}`];
      const args = labels.flatMap((it) => ["--label", `bot-bottle.${it}`]);
      return docker("create", "--name", name, "--network", "none", ...args, testBase(), "true");
    };
    const name = `bot-bottle-left-${process.pid}`;
    const other = `${name}-other`;
    make(name, "ours");
    const kept = make(other, "theirs");
    onTestFinished(() => void docker("rm", "--force", kept));
    const objects = { container: [name, other, `${name}-gone`] };
    await reapDocker({ processes: [], cgroups: [], objects }, { ...ports, homeId: "ours" });
    const names = ["ps", "--all", "--format", "{{.Names}}", "--filter", `name=${name}`];
    expect(docker(...names)).toBe(other);
  });

  it("is not all that is found by labels: what packs, exports and probes left, and no other home's", async () => {
    const cacheDir = parseHostPath(tempDir("docker-found-"));
    const dead = { ...readOwner(), start_time: "1" };
    const labels = {
      ...ownershipLabels(cacheDir),
      "bot-bottle.owner": Object.values(dead).join(" "),
    };
    const bottle = `found-${process.pid}`;
    const make = (role: string, changes: Readonly<Record<string, string>>): string => {
      const all = { ...labels, "bot-bottle.role": role, ...changes };
      const args = Object.entries(all).flatMap(([key, value]) => ["--label", `${key}=${value}`]);
      return docker("create", "--network", "none", ...args, testBase(), "true");
    };
    const found = [make("registry", { "bot-bottle.bottle": bottle }), make("export", {})];
    const other = make("crane", { "bot-bottle.bottle": bottle, "bot-bottle.home": "theirs" });
    onTestFinished(() => void docker("rm", other));
    const change = `LABEL bot-bottle.role=probe bot-bottle.owner="${labels["bot-bottle.owner"]}"`;
    const image = docker("import", "--change", change, emptyTar());
    const { findObjects, removeObject } = await openBackend("docker");
    const mine = async () =>
      ((await findObjects?.(cacheDir, ports)) ?? []).filter(
        ({ id, owner }) => owner?.start_time === "1" && [...found, other, image].includes(id),
      );
    const objects = await mine();
    const whose = objects.map((it) => `${it.kind} ${it.id} ${it.bottle}`);
    expect(new Set(whose)).toEqual(
      new Set([`container ${found[0]} ${bottle}`, `container ${found[1]} `, `image ${image} `]),
    );
    for (const object of objects) await removeObject?.(object, ports);
    expect(await mine()).toEqual([]);
  });

  it("is known to whoever asked for it, also when that is cancelled meanwhile", async () => {
    using engine = await openEngine(process.env);
    const cancel = new AbortController();
    const body = { Image: testBase(), Cmd: ["true"], HostConfig: { NetworkMode: "none" } };
    const name = `bot-bottle-cancelled-${process.pid}`;
    const creating = engine.containers.create(name, body, { signal: cancel.signal });
    cancel.abort(new Error("no more"));
    await engine.containers.remove(await creating);
    expect(docker("ps", "-aq", "--filter", `name=${name}`)).toBe("");
    const { signal } = cancel;
    await expect(engine.containers.create(name, body, { signal })).rejects.toThrow("no more");
  });

  it("is probed for without leaving an image, and one that a killed probe left goes with the next", async () => {
    const owner = Object.values({ ...readOwner(), start_time: "1" }).join(" ");
    const change = `LABEL bot-bottle.role=probe bot-bottle.owner="${owner}"`;
    const image = docker("import", "--change", change, emptyTar());
    const { probe } = await openBackend("docker");
    expect((await probe(ports)).isAvailable).toBe(true);
    const left = docker(
      "images",
      "--quiet",
      "--no-trunc",
      "--filter",
      "label=bot-bottle.role=probe",
    );
    expect(left).not.toContain(image);
    const mine = `label=bot-bottle.owner=${Object.values(readOwner()).join(" ")}`;
    expect(docker("images", "--quiet", "--filter", mine)).toBe("");
  });

  it("is refused where it is asked to be weaker or stronger than it can be", async () => {
    await expect(openDockerBottle(makeWorld(), { runtime: "kata" })).rejects.toMatchObject({
      code: "host.backend-unavailable",
      message: expect.stringContaining("runtime kata is not registered"),
    });
    const missing = { kind: "reference", reference: "bot-bottle-none:1" } as const;
    await expect(openDockerBottle(makeWorld(), { image: missing })).rejects.toMatchObject({
      code: "launch.image",
    });
    const { survey } = await openBackend("docker");
    const cacheDir = parseHostPath(makeWorld().root);
    await expect(
      survey?.({ attachment: "tsi", runtime: undefined, cacheDir }, ports),
    ).rejects.toMatchObject({ code: "host.backend-unavailable" });
  });

  it("is refused with the line to add where its image has no shell or Node", async () => {
    const image = docker("import", emptyTar(), `bot-bottle-test-empty:${process.pid}`);
    onTestFinished(() => void docker("rmi", `bot-bottle-test-empty:${process.pid}`));
    const plan = { kind: "reference", reference: image } as const;
    await expect(openDockerBottle(makeWorld(), { image: plan })).rejects.toMatchObject({
      code: "host.node-missing",
      hint: expect.stringMatching(/use an image with a shell.*FROM node:/),
    });
  });
});
