// How bottles begin and end, on any backend.
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { LaunchError, listBottles, openBottle, SidecarError } from "../../src/index.ts";
import { isAlive } from "../../src/process/identity.ts";
import { readRecord } from "../../src/protocol/record.ts";
import { openIn, planIn } from "../support/bottle-world.ts";
import { type SuiteParts, sh } from "./suite-tools.ts";

/** Declares the tests of a bottle's life. */
export function describeLife(parts: SuiteParts): void {
  const { launchers, makeWorld, createBundleHost, expectNothingLeft } = parts;
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
      expect((await listBottles(world.home)).map(({ slug, status }) => ({ slug, status }))).toEqual(
        [{ slug: "my-label", status: "running" }],
      );
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
      await using first = await openBottle(plan, { env: world.env, backend, bundleHost });
      await expect(openBottle(plan, { env: world.env, backend, bundleHost })).rejects.toMatchObject(
        { code: "launch.name-taken" },
      );
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
}
