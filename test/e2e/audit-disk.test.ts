// A whole bottle whose audit log has no room any more: nothing leaves, the guest reads why, the operator is told where to make room,
// and both go on once there is some.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CliHome } from "../support/cli-home.ts";
import { requires } from "../support/requires.ts";
import { Sink } from "../support/sink.ts";

describe("a bottle without room for its audit log", requires("bwrap", "root", "linux"), () => {
  let home: CliHome;
  let sink: Sink;
  let audit = "";
  let unmount: () => void = () => undefined;

  beforeEach(async () => {
    sink = await new Sink().open();
    home = new CliHome(`
agent_provider: { template: command, settings: { argv: [/bin/true] } }
egress:
  upstream_ca: [../ca.pem]
  resolve: { open.attack.test: "127.0.0.1:${sink.httpsPort}" }
  routes: [{ host: open.attack.test }]`);
    writeFileSync(join(home.home, "ca.pem"), sink.caPem);
    audit = join(home.home, "audit");
    mkdirSync(audit);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", audit]);
    unmount = () => {
      execFileSync("umount", [audit]);
      unmount = () => undefined;
    };
  });
  afterEach(async () => {
    await home.run(["stop", "--all"]);
    unmount();
    await home[Symbol.asyncDispose]();
    await sink[Symbol.asyncDispose]();
  });

  it("denies, says so, and recovers", async () => {
    const owner = home.start(["start", "worker", "--headless", "--", "/bin/cat"]);
    let said = "";
    owner.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await vi.waitFor(() => expect(home.names("state")).toHaveLength(1), 20_000);
    const [slug = ""] = home.names("state");
    const url = `https://open.attack.test/${"a".repeat(900)}`;
    const ask = async (): Promise<string> => {
      const { stdout, stderr } = await home.run(["exec", slug, "--", "curl", "-sS", url]);
      return stdout.toString() + stderr;
    };
    await vi.waitFor(async () => expect(await ask()).toBe("hello from outside\n"), 20_000);

    const ballast = join(audit, "ballast");
    const room = statfsSync(audit);
    writeFileSync(ballast, Buffer.alloc(room.bavail * room.bsize));
    let answer = "";
    for (let left = 20; left > 0 && !answer.startsWith("egress: "); left -= 1) answer = await ask();
    const seen = sink.arrived.length;
    expect(answer).toMatch(/^egress: audit-failed: [^]*tell the operator/);
    expect(await ask()).not.toContain("hello");
    expect(sink.arrived.length).toBe(seen);
    await vi.waitFor(
      () => expect(said).toMatch(/the audit log cannot be written: .*(ENOSPC|bytes)/),
      5000,
    );
    expect(said).toMatch(/nothing leaves the bottle/);
    expect(said).toContain(`hint: make room in ${audit}`);

    rmSync(ballast);
    expect(await ask()).toBe("hello from outside\n");
    await vi.waitFor(() => expect(said).toMatch(/the audit log is written again/), 5000);
    // Once each, however many requests were refused.
    expect(said.match(/the audit log/g)).toHaveLength(2);
    owner.stdin?.end();
    await new Promise((resolve) => owner.once("close", resolve));
    const verified = await home.run(["audit", "verify", slug]);
    expect([verified.stdout.toString(), verified.code]).toEqual([expect.any(String), 0]);
    unmount();
    await home.expectNothingLeft();
  });
});
