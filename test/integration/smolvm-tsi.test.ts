// Whole bottles whose guests are filtered by address: the real bundle in a container, packing by real programs, a fake smolvm 0.8.
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { type Bottle, type BottlePlan, openBottle, parseHostPath } from "../../src/index.ts";
import type { Knobs } from "../fixtures/programs/smolvm-tsi/wire.ts";
import { makeWorld, planIn, type World } from "../support/bottle-world.ts";
import { imageEnv, testBase } from "../support/docker.ts";
import { docker } from "../support/docker-command.ts";
import { requires } from "../support/requires.ts";
import { type SmolvmTsi, startSmolvmTsi } from "../support/smolvm-tsi.ts";
import { tempDir } from "../support/temp-dir.ts";
import { openTsi, packingEnv } from "../support/tsi-bottle.ts";

const BOTTLE =
  "agent_provider: { template: command, settings: { argv: [/bin/sh, -c, exit 0] } }\nbackend: smolmachines\nattachment: tsi";
/** Packs of the whole file, as in one operator's home. */
const cacheDir = parseHostPath(tempDir("tsi-cache-"));
let smolvm: SmolvmTsi;
let settings: Readonly<Record<string, string | undefined>>;

interface Opening {
  readonly env?: Readonly<Record<string, string>>;
  readonly cache?: string;
  readonly change?: (plan: BottlePlan) => BottlePlan;
}

/** Plans as the command does and opens with the file's cache. */
async function plan(world: World, { env = {}, cache = cacheDir, change }: Opening = {}) {
  const all = { ...world.env, ...settings, ...env };
  const planned = await planIn({ ...world, env: all as Record<string, string> }, {});
  const guest = { ...planned.guest, cacheDir: parseHostPath(cache) };
  const whole = { ...planned, guest, bundle: { ...planned.bundle, cacheDir: guest.cacheDir } };
  return { plan: change?.(whole) ?? whole, env: all };
}

async function open(world: World, opening: Opening = {}): Promise<Bottle> {
  const planned = await plan(world, opening);
  return openBottle(planned.plan, { env: planned.env, backend: openTsi() });
}

async function sh(bottle: Bottle, script: string): Promise<string> {
  const { stdout, stderr } = await bottle.exec(["/bin/sh", "-c", script]);
  return `${stdout.toString()}${stderr.toString()}`;
}

/** What is on the engine of this name. */
function onEngine(id: string): string[] {
  const filter = ["--filter", `label=bot-bottle.bottle=${id}`, "--format"];
  const containers = docker("ps", "--all", ...filter, "{{.Names}}");
  const networks = docker("network", "ls", ...filter, "{{.Name}}");
  return [containers, networks].flatMap((text) => text.split("\n")).filter(Boolean);
}

function knobs(changes: Partial<Knobs>): void {
  smolvm.set(changes);
  onTestFinished(() => smolvm.set({}));
}

const portOf = (url: string): number => Number(new URL(url).port);

/** The first test of a file packs an image, which a busy machine does for a minute. */
const OPTIONS = { ...requires("docker", "root", "bwrap"), timeout: 180_000 };

describe("a guest filtered by address", OPTIONS, () => {
  beforeAll(async () => {
    smolvm = await startSmolvmTsi();
    settings = {
      ...imageEnv(),
      ...packingEnv(),
      BOT_BOTTLE_SMOLVM: smolvm.program,
      BOT_BOTTLE_IMAGE: testBase(),
    };
  });
  afterAll(() => smolvm[Symbol.asyncDispose]());

  it("finds its doors on an alias that is its own, and nothing is left of it", async () => {
    const bottle = await open(makeWorld(BOTTLE));
    const { id } = bottle;
    const proxy = (await sh(bottle, "echo $HTTPS_PROXY")).trim();
    const { hostname } = new URL(proxy);
    expect(hostname).toMatch(/^127\.0\.0\.(1[6-9]|2\d|3[01])$/);
    expect(await sh(bottle, "echo $NO_PROXY $no_proxy")).toContain(hostname);
    const ports = docker("port", `bot-bottle-sidecars-${id}`).split("\n");
    expect(ports).toEqual([`9099/tcp -> ${hostname}:${portOf(proxy)}`]);
    const address = docker(
      "inspect",
      "--format",
      "{{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{$it.IPAddress}}{{end}}",
      `bot-bottle-sidecars-${id}`,
    );
    expect(address).toMatch(new RegExp(`^bot-bottle-bundle-${id} 192\\.168\\.\\d+\\.2$`));
    expect(onEngine(id).sort()).toEqual([`bot-bottle-bundle-${id}`, `bot-bottle-sidecars-${id}`]);
    const refused = await sh(bottle, "curl -sS --max-time 10 https://not-allowed.test/ 2>&1");
    expect(refused).toContain("403");
    expect(await sh(bottle, "curl -sS --max-time 10 http://egress:9099/ 2>&1")).not.toBe("");
    const { failures, gone } = await bottle.close();
    expect([failures, await gone]).toEqual([[], []]);
    await vi.waitFor(() => expect(onEngine(id)).toEqual([]));
    expect(smolvm.running).toBe(0);
  });

  it("has its files repaired, and no variable or token ever was an argument", async () => {
    const world = makeWorld(`${BOTTLE}\nenv: { PLAIN: "to-the-guest" }`);
    const before = smolvm.calls.length;
    await using bottle = await open(world);
    const stat = 'stat -c "%n %u %a" /tmp /var/tmp; stat -c "%n %U" /home/node; id -un';
    expect(await sh(bottle, stat)).toBe("/tmp 0 1777\n/var/tmp 0 1777\n/home/node node\nnode\n");
    expect(await sh(bottle, "touch /tmp/x /var/tmp/x ~/x && echo written")).toBe("written\n");
    expect(await sh(bottle, "ls -A /var/lib/bot-bottle /run/bot-bottle/init 2>&1")).not.toMatch(
      /env-|^token/m,
    );
    expect(await sh(bottle, "echo $PLAIN")).toBe("to-the-guest\n");
    const args = JSON.stringify(smolvm.calls.slice(before));
    expect(args).not.toContain("to-the-guest");
    expect(args).not.toMatch(/[0-9a-f]{64}/);
  });

  it("reaches no other address of the loopback, no other bottle and no name server", async () => {
    const world = makeWorld(BOTTLE);
    await using one = await open(world);
    await using two = await open(world);
    const other = new URL((await sh(two, "echo $HTTPS_PROXY")).trim());
    const server = createServer((socket) => socket.end("secret of the host"));
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const targets = [
      { host: "127.0.0.1", port },
      { host: other.hostname, port: Number(other.port) },
      { host: one.plan.guest.network?.bundleAddress ?? "", port: 9099 },
      { host: one.plan.guest.network?.gateway ?? "", port },
      { host: "127.0.0.1", port: 9 },
    ];
    for (const target of targets) {
      const answer = await one.guest.probe({ type: "tcp", ...target, timeoutMs: 2_000 });
      expect(["refused", "unreachable"], `${target.host}:${target.port}`).toContain(answer);
    }
    expect(other.hostname).not.toBe(new URL((await sh(one, "echo $HTTPS_PROXY")).trim()).hostname);
  });

  it("finds its doors where they were when the bundle is started again", async () => {
    await using bottle = await open(makeWorld(BOTTLE));
    const before = docker("port", `bot-bottle-sidecars-${bottle.id}`);
    const restarted = (async () => {
      for await (const event of bottle.events()) if (event.kind === "bundle-restarted") return;
    })();
    docker("kill", `bot-bottle-sidecars-${bottle.id}`);
    await restarted;
    const again =
      "for i in $(seq 100); do curl -sS --max-time 5 https://a.test/ 2>&1 | grep 403 && exit; sleep 0.1; done";
    expect(await sh(bottle, again)).toContain("403");
    expect(docker("port", `bot-bottle-sidecars-${bottle.id}`)).toBe(before);
  });

  it("moves to the next subnet when the engine finds an overlap", async () => {
    const world = makeWorld(BOTTLE);
    const planned = await plan(world);
    const taken = planned.plan.guest.network;
    const name = `bot-bottle-test-overlap-${planned.plan.id}`;
    docker("network", "create", "--subnet", taken?.subnet ?? "", name);
    onTestFinished(() => void docker("network", "rm", name));
    await using bottle = await openBottle(planned.plan, { env: planned.env, backend: openTsi() });
    expect(bottle.plan.guest.network?.subnet).toBe(taken?.alternatives?.[0]);
    expect(await sh(bottle, "curl -sS --max-time 10 https://not-allowed.test/ 2>&1")).toContain(
      "403",
    );
  });

  describe("is refused", () => {
    it("when the filter is in the record and not enforced, and nothing is left", async () => {
      knobs({ ignoresFilter: true });
      const world = makeWorld(BOTTLE);
      const planned = await plan(world);
      const opening = openBottle(planned.plan, { env: planned.env, backend: openTsi() });
      await expect(opening).rejects.toMatchObject({ code: "launch.not-isolated" });
      expect(onEngine(planned.plan.id)).toEqual([]);
      expect(smolvm.running).toBe(0);
      expect(existsSync(planned.plan.paths.state)).toBe(false);
    });

    it.each([
      ["0.7.9", /too old/],
      ["1.0.2", /between the two families/],
      ["1.8.0", /between the two families/],
      ["1.8.1", /socket mounts/],
      ["1.32.2", /socket mounts/],
    ])("by version %s, with the reason", async (version, reason) => {
      const own = await startSmolvmTsi({ version });
      onTestFinished(() => own[Symbol.asyncDispose]());
      const planning = plan(makeWorld(BOTTLE), { env: { BOT_BOTTLE_SMOLVM: own.program } });
      await expect(planning).rejects.toMatchObject({
        code: "host.backend-unavailable",
        message: expect.stringMatching(reason),
      });
    });

    it("where it was not asked for, and by a smolvm that lacks a flag", async () => {
      const auto = plan(makeWorld(BOTTLE.replace("attachment: tsi", "attachment: auto")));
      await expect(auto).rejects.toMatchObject({
        code: "host.backend-unavailable",
        message: expect.stringContaining("attachment: tsi only"),
      });
      const own = await startSmolvmTsi({ without: ["allow-cidr"] });
      onTestFinished(() => own[Symbol.asyncDispose]());
      const lacking = plan(makeWorld(BOTTLE), { env: { BOT_BOTTLE_SMOLVM: own.program } });
      await expect(lacking).rejects.toMatchObject({
        message: expect.stringContaining("machine create --allow-cidr"),
      });
    });

    it.each([
      ["start", "KVM not available", "host.backend-unavailable"],
      ["create", "something of smolvm's own", "launch.backend"],
      ["cp", "file transfer failed", "launch.backend"],
    ])("when %s fails, and nothing is left", async (verb, said, code) => {
      knobs({ fails: { [verb]: said } });
      const planned = await plan(makeWorld(BOTTLE));
      const opening = openBottle(planned.plan, { env: planned.env, backend: openTsi() });
      await expect(opening).rejects.toMatchObject({ code, message: expect.stringContaining(said) });
      expect(onEngine(planned.plan.id)).toEqual([]);
      expect(smolvm.running).toBe(0);
    });

    it("when its programs are killed again and again", async () => {
      knobs({ kills: 2 });
      await expect(open(makeWorld(BOTTLE))).rejects.toMatchObject({
        code: "launch.backend",
        message: expect.stringContaining("137"),
      });
      expect(smolvm.running).toBe(0);
    });
  });

  describe("is made of a pack", () => {
    it("that is made once for an image", async () => {
      const before = smolvm.calls.length;
      await using _bottle = await open(makeWorld(BOTTLE));
      expect(smolvm.calls.slice(before).map(({ args }) => args[0])).not.toContain("pack");
      const files = readdirSync(join(cacheDir, "smolmachines"));
      expect(files).toEqual([
        expect.stringMatching(/^[0-9a-f]{16}-smolvm-0\.8\.0\.smolmachine\.smolmachine$/),
      ]);
    });

    it.each([
      [{}, { fails: { pack: "agent did not become ready within 30 seconds" } }, /not packed/],
      [{ BOT_BOTTLE_CRANE_IMAGE: "no-such-crane:1" }, {}, /no image no-such-crane:1/],
      [{ BOT_BOTTLE_REGISTRY_IMAGE: "no-such-registry:1" }, {}, /no image no-such-registry:1/],
    ])("of which nothing is left when it cannot be made: %o %o", async (env, changes, reason) => {
      knobs(changes);
      const cache = tempDir("tsi-pack-");
      const planned = await plan(makeWorld(BOTTLE), { env, cache });
      const opening = openBottle(planned.plan, { env: planned.env, backend: openTsi() });
      await expect(opening).rejects.toMatchObject({ message: expect.stringMatching(reason) });
      expect(readdirSync(join(cache, "smolmachines"))).toEqual([]);
      expect(onEngine(planned.plan.id)).toEqual([]);
    });

    it("only where the image is the engine's", async () => {
      const root = tempDir("tsi-root-");
      writeFileSync(join(root, "file"), "");
      await expect(
        open(makeWorld(BOTTLE), { env: { BOT_BOTTLE_IMAGE: root } }),
      ).rejects.toMatchObject({ code: "launch.image" });
    });
  });
});
