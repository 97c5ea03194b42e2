// The one contract of every backend, fake and real, seen through a whole bottle. The bundle is the fake one where sockets of the
// host lead to guests, so that the suite judges the backend; whole bottles with the real bundle are judged in test/integration
// and test/e2e.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  type Backend,
  type Bottle,
  connectBottle,
  LaunchError,
  listBottles,
  parseGuestPath,
  readHostTree,
  SidecarError,
  writeHostTree,
} from "../../src/index.ts";
import { isAlive } from "../../src/process/identity.ts";
import { readRecord } from "../../src/protocol/record.ts";
import {
  DEFAULT_BOTTLE,
  makeWorld as makeAnyWorld,
  openIn,
  planIn,
  type World,
} from "../support/bottle-world.ts";
import { alter } from "./altered-backend.ts";
import { BY_SOCKETS, expectEngineClear, expectGone, type SuiteAttachment } from "./attachments.ts";

const HOME = parseGuestPath("/home/node");
function sh(bottle: Bottle, script: string): ReturnType<Bottle["exec"]> {
  return bottle.exec(["/bin/sh", "-c", script]);
}

/** Runs the contract over one backend. */
export function describeBackend(
  name: string,
  open: () => Promise<Backend>,
  options: object,
  attachment: SuiteAttachment = BY_SOCKETS,
): void {
  describe(`backend ${name}`, options, () => {
    const { createBundleHost } = attachment;
    const launchers = async () => ({ backend: await open(), bundleHost: createBundleHost() });
    const makeWorld = (bottle: string = DEFAULT_BOTTLE): World =>
      makeAnyWorld(`${bottle}\n${attachment.setting}`);
    afterAll(() => expectEngineClear(attachment));
    const expectNothingLeft = (world: World, when?: string): Promise<void> =>
      expectGone(attachment, world, when);

    describe("programs", () => {
      it("run with their own output and status", async () => {
        await using bottle = await openIn(makeWorld(), await launchers());
        const result = await sh(bottle, "echo out; echo err >&2; exit 3");
        expect(result.stdout.toString()).toBe("out\n");
        expect(result.stderr.toString()).toBe("err\n");
        expect(result.exitCode).toBe(3);
        expect((await sh(bottle, "true")).exitCode).toBe(0);
      });

      it("tell the signal that ended them", async () => {
        await using bottle = await openIn(makeWorld(), await launchers());
        expect((await sh(bottle, "kill -KILL $$")).signal).toBe("SIGKILL");
        const session = await bottle.start(["/bin/sleep", "60"]);
        session.kill("SIGTERM");
        expect((await session.exited).signal).toBe("SIGTERM");
      });

      it("say why they cannot be executed", async () => {
        await using bottle = await openIn(makeWorld(), await launchers());
        await sh(bottle, "touch ~/plain");
        await expect(bottle.exec(["no-such-program"])).rejects.toMatchObject({
          code: "launch.agent",
          details: { code: "ENOENT" },
        });
        await expect(bottle.exec(["/home/node/plain"])).rejects.toMatchObject({
          code: "launch.agent",
          details: { code: "EACCES" },
        });
      });

      it("read their input to its end", async () => {
        await using bottle = await openIn(makeWorld(), await launchers());
        const input = "x".repeat(3_000_000);
        const result = await bottle.exec(["wc", "-c"], { input });
        expect(result.stdout.toString().trim()).toBe("3000000");
      });

      it("get the planned environment and nothing of ours", async () => {
        process.env["BB_TEST_LEAK"] = "leaked";
        await using bottle = await openIn(makeWorld(), await launchers());
        const result = await bottle.exec(["env"], { env: { EXTRA: "given" } });
        delete process.env["BB_TEST_LEAK"];
        const env = result.stdout.toString();
        expect(env).not.toContain("leaked");
        expect(env).toContain("EXTRA=given");
        const { name: host } = attachment.door(bottle);
        expect(env).toContain(`HTTPS_PROXY=http://${host}:9099`);
        expect(env).toContain(`BOT_BOTTLE_SLUG=${bottle.id}`);
      });

      it("answer while another program floods and nobody reads it", async () => {
        await using bottle = await openIn(makeWorld(), await launchers());
        const flood = await bottle.start(["/bin/sh", "-c", "yes | head -c 30000000"]);
        expect((await sh(bottle, "echo here")).stdout.toString()).toBe("here\n");
        flood.kill("SIGKILL");
      });
    });

    describe("files", () => {
      it("go in and come back as they were", async () => {
        const world = makeWorld();
        await using bottle = await openIn(world, await launchers());
        const source = join(world.root, "tree");
        mkdirSync(join(source, "sub", "empty"), { recursive: true });
        writeFileSync(join(source, "sub", "ä file.txt"), "content");
        writeFileSync(join(source, "run.sh"), "#!/bin/sh\necho ran\n");
        chmodSync(join(source, "run.sh"), 0o755);
        symlinkSync("/etc/passwd", join(source, "link"));
        await bottle.copyIn(parseGuestPath("/home/node/tree"), readHostTree(source as never));
        expect((await bottle.exec(["/home/node/tree/run.sh"])).stdout.toString()).toBe("ran\n");
        const target = join(world.root, "back");
        await writeHostTree(target as never, bottle.copyOut(parseGuestPath("/home/node/tree")));
        expect(readFileSync(join(target, "sub", "ä file.txt"), "utf8")).toBe("content");
        expect(readdirSync(target).sort()).toEqual(["link", "run.sh", "sub"]);
      });

      it("that are missing are an error", async () => {
        await using bottle = await openIn(makeWorld(), await launchers());
        const read = async () => {
          for await (const item of bottle.copyOut(parseGuestPath("/home/node/missing"))) void item;
        };
        await expect(read()).rejects.toMatchObject({ code: "launch.copy" });
      });

      it("of the prompt and the workspace are there before the agent", async () => {
        const world = makeWorld();
        await using bottle = await openIn(world, await launchers(), { copyCwd: true });
        expect(
          (await sh(bottle, "cat ~/.bot-bottle-prompt.txt; cat README.md; pwd")).stdout.toString(),
        ).toContain("Do the work.");
        expect((await sh(bottle, "cat README.md")).stdout.toString()).toBe("# project\n");
        expect(
          (await sh(bottle, "stat -c %a ~/.bot-bottle-prompt.txt")).stdout.toString().trim(),
        ).toBe("600");
      });
    });

    describe("the world outside", () => {
      it("is its doors and nothing else", async () => {
        await using bottle = await openIn(makeWorld(), await launchers());
        const { name: _, ...place } = attachment.door(bottle);
        const door = { type: "door", ...place, timeoutMs: 2000 } as const;
        expect(await bottle.guest.probe({ ...door, port: 9099 })).toBe("connected");
        expect(await bottle.guest.probe({ ...door, port: 9100 })).toBe("refused");
        const interfaces = (await bottle.guest.probe({ type: "interfaces" })).split(",");
        expect(interfaces).toContain("lo");
        expect(interfaces).toHaveLength(1 + attachment.interfaces);
        expect(await bottle.guest.inspectIsolation()).toEqual([]);
        for (const host of ["192.0.2.1", "127.0.0.53", "2001:db8::1", "169.254.169.254"]) {
          const answer = await bottle.guest.probe({ type: "tcp", host, port: 53, timeoutMs: 2000 });
          expect(attachment.nowhere, host).toContain(answer);
        }
      });

      it("that answers ends the launch and leaves nothing", async () => {
        const world = makeWorld();
        const { backend, bundleHost } = await launchers();
        const open = alter(backend, (guest) => ({
          probe: (target) =>
            target.type === "tcp" ? Promise.resolve("connected") : guest.probe(target),
        }));
        await expect(openIn(world, { backend: open, bundleHost })).rejects.toMatchObject({
          code: "launch.not-isolated",
        });
        await expectNothingLeft(world);
      });

      it("ends the launch when a namespace is shared, or a door is dead", async () => {
        const world = makeWorld();
        const { backend, bundleHost } = await launchers();
        const shared = alter(backend, () => ({
          inspectIsolation: () => Promise.resolve(["the network namespace is the host's"]),
        }));
        await expect(openIn(world, { backend: shared, bundleHost })).rejects.toMatchObject({
          code: "launch.not-isolated",
        });
        const dead = alter(backend, (guest) => ({
          probe: (target) =>
            target.type === "door" ? Promise.resolve("refused") : guest.probe(target),
        }));
        await expect(openIn(world, { backend: dead, bundleHost })).rejects.toMatchObject({
          code: "launch.door",
        });
        await expectNothingLeft(world);
      });
    });

    describe("life", () => {
      it("has its steps in order, with isolation and doors proven before it runs", async () => {
        const steps: string[] = [];
        await using bottle = await openIn(
          makeWorld(),
          await launchers(),
          {},
          { onStep: (step) => void steps.push(step) },
        );
        expect(bottle.plan.agentName).toBe("worker");
        expect(steps.slice(0, 4)).toEqual(["record", "directories", "audit", "authority"]);
        expect(steps.slice(-4)).toEqual(["isolation", "doors", "provision", "running"]);
        expect([...steps].sort()).toEqual([...new Set(steps)].sort());
      });

      it("is recorded, listed, and gone after close", async () => {
        const world = makeWorld();
        const bottle = await openIn(world, await launchers(), { label: "My Label" });
        expect(bottle.id).toBe("my-label");
        const record = await readRecord(bottle.plan.paths.state);
        expect(record).toMatchObject({
          identity: "my-label",
          agent_name: "worker",
          status: "running",
          bottle_names: ["box"],
          compose_project: "",
        });
        expect(
          (await listBottles(world.home)).map(({ slug, status }) => ({ slug, status })),
        ).toEqual([{ slug: "my-label", status: "running" }]);
        const { processes } = bottle.guest.resources;
        expect(processes.length).toBeGreaterThan(0);
        const report = await bottle.close();
        expect(report).toMatchObject({ failures: [], kept: undefined, fault: undefined });
        expect(processes.filter((ref) => isAlive(ref))).toEqual([]);
        await expectNothingLeft(world);
        expect(existsSync(bottle.plan.paths.audit)).toBe(true);
      });

      it("ends programs that ignore being asked, and their children", async () => {
        const world = makeWorld();
        const bottle = await openIn(world, await launchers());
        const session = await bottle.start([
          "/bin/sh",
          "-c",
          "trap '' TERM HUP INT; sleep 300 & echo up; wait; sleep 300",
        ]);
        await new Promise((resolve) => session.stdout?.once("data", resolve));
        const report = await bottle.close();
        expect(report.failures).toEqual([]);
        await expect(session.exited)
          .resolves.toBeDefined()
          .catch(() => undefined);
        await expectNothingLeft(world);
      });

      it("closes once, whoever asks", async () => {
        const bottle = await openIn(makeWorld(), await launchers());
        const [a, b] = await Promise.all([bottle.close(), bottle.close()]);
        expect(a).toBe(b);
        expect(() => bottle.start(["true"])).toThrow();
      });

      it("ends when the bundle dies for good", async () => {
        const world = makeWorld();
        const { backend, bundleHost } = await launchers();
        const bottle = await openIn(world, { backend, bundleHost });
        bundleHost.launched[0]?.crash();
        const report = await bottle.closed;
        expect(report.fault).toBeInstanceOf(SidecarError);
        await expectNothingLeft(world);
      });

      it("leaves nothing when the bundle never comes up, and tells the first error", async () => {
        const world = makeWorld();
        const failure = new SidecarError("sidecar.start", "no");
        const { backend } = await launchers();
        await expect(
          openIn(world, { backend, bundleHost: createBundleHost({ failure }) }),
        ).rejects.toBe(failure);
        await expectNothingLeft(world);
      });

      it("can be cancelled at each step and leaves nothing", async () => {
        const { backend, bundleHost } = await launchers();
        for (const at of ["directories", "authority", "guest", "isolation", "provision"]) {
          const world = makeWorld();
          const cancel = new AbortController();
          const reason = new LaunchError("launch.declined", at);
          const onStep = (step: string) => {
            if (step === at) cancel.abort(reason);
          };
          await expect(
            openIn(world, { backend, bundleHost }, {}, { onStep, signal: cancel.signal }),
          ).rejects.toBe(reason);
          await expectNothingLeft(world, at);
        }
      });

      it("takes a name once", async () => {
        const world = makeWorld();
        const { backend, bundleHost } = await launchers();
        const plan = await planIn(world, { label: "one", backend: backend.name });
        const { openBottle } = await import("../../src/index.ts");
        await using first = await openBottle(plan, { env: world.env, backend, bundleHost });
        await expect(
          openBottle(plan, { env: world.env, backend, bundleHost }),
        ).rejects.toMatchObject({ code: "launch.name-taken" });
        expect((await sh(first, "echo alive")).stdout.toString()).toBe("alive\n");
      });

      it("does not mix two bottles", async () => {
        const world = makeWorld();
        const { backend, bundleHost } = await launchers();
        await using a = await openIn(world, { backend, bundleHost });
        await using b = await openIn(world, { backend, bundleHost });
        await sh(a, "echo a > ~/mine");
        expect((await sh(b, "cat ~/mine")).exitCode).not.toBe(0);
      });
    });

    describe("work", () => {
      it("that changed the workspace is kept, with the reason and where it is", async () => {
        const world = makeWorld();
        const bottle = await openIn(world, await launchers(), { copyCwd: true });
        await sh(bottle, "echo more >> README.md");
        const report = await bottle.close();
        expect(report.kept).toContain("README.md");
        expect(readFileSync(join(bottle.plan.paths.workspace, "README.md"), "utf8")).toBe(
          "# project\nmore\n",
        );
        expect(existsSync(bottle.plan.paths.preserve)).toBe(true);
        expect(await readRecord(bottle.plan.paths.state)).toMatchObject({
          status: "ended",
          owner: null,
        });
        expect(readFileSync(join(world.project, "README.md"), "utf8")).toBe("# project\n");
      });

      it("in the home is kept too; dot files are not work", async () => {
        const world = makeWorld();
        const bottle = await openIn(world, await launchers());
        await sh(bottle, "mkdir -p ~/.cache && echo x > ~/.cache/x");
        expect((await bottle.close()).kept).toBeUndefined();
        const second = await openIn(world, await launchers());
        await sh(second, "echo result > ~/result.txt");
        expect((await second.close()).kept).toContain("result.txt");
      });

      it("is kept when the agent failed, or when asked", async () => {
        const world = makeWorld(
          "agent_provider: { template: command, settings: { argv: [/bin/sh, -c, exit 4] } }",
        );
        const failed = await openIn(world, await launchers());
        await (await failed.execAgent({ stdio: "pipe" })).exited;
        expect((await failed.close()).kept).toContain("4");
        const asked = await openIn(world, await launchers(), { keep: true });
        expect((await asked.close()).kept).toContain("--keep");
      });
    });

    describe("commands from elsewhere", () => {
      it("run, copy, ask and stop through the owner", async () => {
        const { openOwner } = await import("../../src/index.ts");
        const world = makeWorld();
        const bottle = await openIn(world, await launchers());
        await using owner = await openOwner(bottle);
        expect(owner.path).toBe(bottle.plan.paths.control);
        await using connection = await connectBottle(world.home, bottle.id);
        const session = await connection.exec(["/bin/sh", "-c", "cat; exit 5"]);
        session.stdin?.end("through");
        const chunks: string[] = [];
        for await (const chunk of session.stdout ?? []) chunks.push(String(chunk));
        expect(chunks.join("")).toBe("through");
        expect((await session.exited).exitCode).toBe(5);
        await expect(connection.exec(["no-such-program"])).rejects.toMatchObject({
          details: { code: "ENOENT" },
        });
        await sh(bottle, "echo data > ~/out.txt");
        const target = join(world.root, "out.txt");
        await writeHostTree(target as never, connection.copyOut(parseGuestPath(`${HOME}/out.txt`)));
        expect(readFileSync(target, "utf8")).toBe("data\n");
        expect(await connection.status()).toMatchObject({ restarts: 0 });
        await connection.stop();
        expect((await bottle.closed).kept).toContain("out.txt");
        await expect(connectBottle(world.home, bottle.id)).rejects.toMatchObject({
          code: "usage.not-running",
        });
      });
    });
  });
}
