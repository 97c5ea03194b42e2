// Attempts that wait for a weak moment: while the bundle is dead, after it came back, while files are copied out, and when the
// bottle has ended. A missing guard must close the way, never open it.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { verifyAudit } from "../../src/protocol/audit-read.ts";
import { type Mode, modesHere } from "../support/attack-world.ts";
import { type EgressAttack, openEgressAttack, request } from "../support/egress-attack.ts";
import { requires } from "../support/requires.ts";

const GRANTED = {
  tunnel: { authority: "open.attack.test:443" },
  bytes: request("GET", "/", "open.attack.test"),
};
const UNGRANTED = { bytes: request("GET", "http://evil.attack.test/", "evil.attack.test") };

/** Ends a process that may be gone already. */
function killOff(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

describe.each(modesHere())(
  "the weak moments of a bottle of %s",
  requires("bwrap", "userns"),
  (mode: Mode) => {
    let attack: EgressAttack;
    beforeAll(async () => {
      attack = await openEgressAttack(mode);
    });
    afterAll(() => attack?.[Symbol.asyncDispose]());

    it("have no open way while the bundle is dead, and the same rules when it is back", async () => {
      const { world, sink } = attack;
      await attack.allowed(GRANTED);
      const before = sink.count();
      for (const pid of await world.bundlePids()) killOff(pid);
      for (let left = 5; left > 0; left -= 1) {
        const { text = "" } = await attack.send({ ...UNGRANTED, waitMs: 300 });
        expect(text).not.toMatch(/^HTTP\/1\.1 2/);
        const { outcome } = await world.ask("connect", { host: "127.0.0.1", port: sink.httpsPort });
        expect(outcome).toBe("ECONNREFUSED");
      }
      expect(sink.count()).toEqual(before);
      await vi.waitFor(
        async () => expect((await attack.send(UNGRANTED)).text).toMatch(/^HTTP\/1\.1 403 /),
        15_000,
      );
      await attack.refused(UNGRANTED, { status: 403, reason: "host-not-allowed" });
      await attack.allowed({
        tunnel: { authority: "api.attack.test:443" },
        bytes: request("GET", "/", "api.attack.test", [
          `Authorization: Bearer ${attack.env["API_TOKEN"]}`,
        ]),
      });
      expect(await verifyAudit(world.bottles[0]?.audit ?? "")).toMatchObject({ ok: true });
      expect(world.audit()).toContainEqual(
        expect.objectContaining({
          kind: "bundle",
          detail: expect.stringContaining("started again"),
        }),
      );
    });

    it("give no way to plant a door: the guest cannot listen where the bundle does", async () => {
      const { world } = attack;
      const planted = await world
        .ask("listen", { path: "/run/bot-bottle/doors/proxy.sock" })
        .catch((error: Error) => ({ outcome: error.message }));
      expect(planted.outcome).toMatch(/EADDRINUSE|EROFS|EACCES|EPERM/);
      expect(readdirSync(join(world.bottles[0]?.run ?? "", "doors"))).toEqual(["proxy.sock"]);
    });

    it("hold no file of the host behind a link of the guest", async () => {
      const { world } = attack;
      const { workspace = "" } = world.bottles[0] ?? {};
      const victim = join(world.root, "victim");
      mkdirSync(victim, { mode: 0o755 });
      writeFileSync(join(victim, "file"), "untouched");
      await world.sh(
        `cd /home/node/workspace && ln -s ${victim} way && ln -s ${victim}/file out && mkdir d && ln -s ../../../../.. d/up`,
      );
      expect(lstatSync(join(workspace, "way")).isSymbolicLink()).toBe(true);
      expect(
        (await world.sh("echo x > /home/node/workspace/out; echo x > /home/node/workspace/way/new"))
          .stderr,
      ).not.toBe("");
      expect(readFileSync(join(victim, "file"), "utf8")).toBe("untouched");
      expect(readdirSync(victim)).toEqual(["file"]);
    });

    it("end the bottle when the bundle is killed again and again", async () => {
      const { world, sink } = attack;
      const before = sink.count().requests;
      await vi.waitFor(
        async () => {
          for (const pid of await world.bundlePids()) killOff(pid);
          const outcome = await world
            .ask("connect", { host: "127.0.0.1", port: 9099 })
            .catch((error: Error) => ({ outcome: error.message }));
          expect(outcome.outcome).toMatch(/driver 0 (ended|lost)/);
        },
        { timeout: 60_000, interval: 300 },
      );
      expect(sink.count().requests).toBe(before);
      await world.close();
      expect(JSON.stringify(world.closed)).toContain("bundle");
      expect(existsSync(world.bottles[0]?.run ?? "")).toBe(false);
      expect(await verifyAudit(world.bottles[0]?.audit ?? "")).toMatchObject({ ok: true });
    });
  },
);
