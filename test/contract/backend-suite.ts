// The one contract of every backend, fake and real, seen through a whole bottle. The bundle is the fake one where sockets of the
// host lead to guests, so that the suite judges the backend; whole bottles with the real bundle are judged in test/integration
// and test/e2e.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import {
  type Backend,
  type Bottle,
  connectBottle,
  parseGuestPath,
  readHostTree,
  writeHostTree,
} from "../../src/index.ts";
import { readRecord } from "../../src/protocol/record.ts";
import {
  DEFAULT_BOTTLE,
  makeWorld as makeAnyWorld,
  openIn,
  type World,
} from "../support/bottle-world.ts";
import { alter } from "./altered-backend.ts";
import { BY_SOCKETS, expectEngineClear, expectGone, type SuiteAttachment } from "./attachments.ts";
import { describeLife } from "./life-suite.ts";
import { sh } from "./suite-tools.ts";

const HOME = parseGuestPath("/home/node");

interface SuiteOptions {
  readonly skip?: boolean;
  /** Tests that only look into a bottle get the same one: for where making one takes long. */
  readonly isShared?: boolean;
}

/** Runs the contract over one backend. */
export function describeBackend(
  name: string,
  open: () => Promise<Backend>,
  { isShared = false, ...options }: SuiteOptions,
  attachment: SuiteAttachment = BY_SOCKETS,
): void {
  describe(`backend ${name}`, options, () => {
    const { createBundleHost } = attachment;
    const launchers = async () => ({ backend: await open(), bundleHost: createBundleHost() });
    const makeWorld = (
      bottle: string = DEFAULT_BOTTLE,
      onEnd?: (remove: () => void) => void,
    ): World => makeAnyWorld(`${bottle}\n${attachment.setting}`, onEnd);
    // Hooks run in reverse: the last look comes when the shared bottle has gone.
    afterAll(() => expectEngineClear(attachment));
    const expectNothingLeft = (world: World, when?: string): Promise<void> =>
      expectGone(attachment, world, when);
    let shared: Promise<Bottle> | undefined;
    const ends: (() => void)[] = [];
    const openOne = async (): Promise<Bottle> => {
      const world = makeWorld(undefined, (end) => void ends.push(end));
      return openIn(world, await launchers());
    };
    const openShared = async (): Promise<Bottle> => {
      try {
        return await (shared ??= openOne());
      } catch (error) {
        shared = undefined;
        throw error;
      }
    };
    const lookInto = (look: (bottle: Bottle) => Promise<void>) => async () => {
      if (isShared) return look(await openShared());
      await using bottle = await openIn(makeWorld(), await launchers());
      await look(bottle);
    };
    beforeAll(() => {
      process.env["BB_TEST_LEAK"] = "leaked";
    });
    afterAll(async () => {
      delete process.env["BB_TEST_LEAK"];
      await (await shared)?.close();
      for (const end of ends) end();
    });

    describe("programs", () => {
      it(
        "run with their own output and status",
        lookInto(async (bottle) => {
          const result = await sh(bottle, "echo out; echo err >&2; exit 3");
          expect(result.stdout.toString()).toBe("out\n");
          expect(result.stderr.toString()).toBe("err\n");
          expect(result.exitCode).toBe(3);
          expect((await sh(bottle, "true")).exitCode).toBe(0);
        }),
      );

      it(
        "tell the signal that ended them",
        lookInto(async (bottle) => {
          expect((await sh(bottle, "kill -KILL $$")).signal).toBe("SIGKILL");
          const session = await bottle.start(["/bin/sleep", "60"]);
          session.kill("SIGTERM");
          expect((await session.exited).signal).toBe("SIGTERM");
        }),
      );

      it(
        "say why they cannot be executed",
        lookInto(async (bottle) => {
          await sh(bottle, "touch ~/plain");
          await expect(bottle.exec(["no-such-program"])).rejects.toMatchObject({
            code: "launch.agent",
            details: { code: "ENOENT" },
          });
          await expect(bottle.exec(["/home/node/plain"])).rejects.toMatchObject({
            code: "launch.agent",
            details: { code: "EACCES" },
          });
        }),
      );

      it(
        "read their input to its end",
        lookInto(async (bottle) => {
          const input = "x".repeat(3_000_000);
          const result = await bottle.exec(["wc", "-c"], { input });
          expect(result.stdout.toString().trim()).toBe("3000000");
        }),
      );

      it(
        "get the planned environment and nothing of ours",
        lookInto(async (bottle) => {
          const result = await bottle.exec(["env"], { env: { EXTRA: "given" } });
          const env = result.stdout.toString();
          expect(env).not.toContain("leaked");
          expect(env).toContain("EXTRA=given");
          const { name: host } = attachment.door(bottle);
          expect(env).toContain(`HTTPS_PROXY=http://${host}:9099`);
          expect(env).toContain(`BOT_BOTTLE_SLUG=${bottle.id}`);
        }),
      );

      it(
        "answer while another program floods and nobody reads it",
        lookInto(async (bottle) => {
          const flood = await bottle.start(["/bin/sh", "-c", "yes | head -c 30000000"]);
          expect((await sh(bottle, "echo here")).stdout.toString()).toBe("here\n");
          flood.kill("SIGKILL");
        }),
      );
    });

    describe("files", () => {
      it(
        "go in and come back as they were",
        lookInto(async (bottle) => {
          const root = mkdtempSync(join(tmpdir(), "bb-tree-"));
          onTestFinished(() => rmSync(root, { recursive: true, force: true }));
          const source = join(root, "tree");
          mkdirSync(join(source, "sub", "empty"), { recursive: true });
          writeFileSync(join(source, "sub", "ä file.txt"), "content");
          writeFileSync(join(source, "run.sh"), "#!/bin/sh\necho ran\n");
          chmodSync(join(source, "run.sh"), 0o755);
          symlinkSync("/etc/passwd", join(source, "link"));
          await bottle.copyIn(parseGuestPath("/home/node/tree"), readHostTree(source as never));
          expect((await bottle.exec(["/home/node/tree/run.sh"])).stdout.toString()).toBe("ran\n");
          const target = join(root, "back");
          await writeHostTree(target as never, bottle.copyOut(parseGuestPath("/home/node/tree")));
          expect(readFileSync(join(target, "sub", "ä file.txt"), "utf8")).toBe("content");
          expect(readdirSync(target).sort()).toEqual(["link", "run.sh", "sub"]);
        }),
      );

      it(
        "that are missing are an error",
        lookInto(async (bottle) => {
          const read = async () => {
            for await (const item of bottle.copyOut(parseGuestPath("/home/node/missing")))
              void item;
          };
          await expect(read()).rejects.toMatchObject({ code: "launch.copy" });
        }),
      );

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
      it(
        "is its doors and nothing else",
        lookInto(async (bottle) => {
          const { name: _, ...place } = attachment.door(bottle);
          const door = { type: "door", ...place, timeoutMs: 2000 } as const;
          expect(await bottle.guest.probe({ ...door, port: 9099 })).toBe("connected");
          expect(await bottle.guest.probe({ ...door, port: 9100 })).toBe("refused");
          const interfaces = (await bottle.guest.probe({ type: "interfaces" })).split(",");
          expect(interfaces).toContain("lo");
          expect(interfaces).toHaveLength(1 + attachment.interfaces);
          expect(await bottle.guest.inspectIsolation()).toEqual([]);
          for (const host of ["192.0.2.1", "127.0.0.53", "2001:db8::1", "169.254.169.254"]) {
            const probe = { type: "tcp", host, port: 53, timeoutMs: 2000 } as const;
            expect(attachment.nowhere, host).toContain(await bottle.guest.probe(probe));
          }
        }),
      );

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

    describeLife({ launchers, makeWorld, createBundleHost, expectNothingLeft });

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
