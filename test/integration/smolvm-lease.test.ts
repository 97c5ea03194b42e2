// A machine does not outlive its owner, and nothing else is ended in its place.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openLease } from "../../src/backends/smolmachines/lease.ts";
import { isAlive, type ProcessIdentity, readStartTime } from "../../src/process/identity.ts";
import { createExec } from "../../src/process/spawn.ts";
import { settlesWithin } from "../../src/process/terminate.ts";
import { requires } from "../support/requires.ts";

const OWNER = join(import.meta.dirname, "../fixtures/programs/smolvm-lease-owner.ts");

/** A process that stands for the machine; nobody's child of the owner, as a real one is. */
function startMachine(): { readonly child: ChildProcess; readonly identity: ProcessIdentity } {
  const child = spawn("sleep", ["60"], { stdio: "ignore", detached: true });
  onTestFinished(() => void child.kill("SIGKILL"));
  const pid = child.pid ?? 0;
  return { child, identity: { pid, startTime: readStartTime(pid) ?? "" } };
}

async function killOwner(pid: number, startTime: string): Promise<void> {
  const argv = [OWNER, String(pid), startTime];
  const owner = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
  await once(owner.stdout, "data");
  owner.kill("SIGKILL");
  await once(owner, "exit");
}

describe("the lease of a machine", requires("linux"), () => {
  it("ends it when the owner is killed", async () => {
    const { child, identity } = startMachine();
    const ended = once(child, "exit");
    await killOwner(identity.pid, identity.startTime);
    expect((await ended)[1]).toBe("SIGKILL");
  });

  it("ends no other process that has its pid", async () => {
    const { child, identity } = startMachine();
    await killOwner(identity.pid, "1");
    expect(await settlesWithin(once(child, "exit"), 1_000)).toBe(false);
    expect(isAlive(identity)).toBe(true);
  });

  it("lets it live when it is given up", async () => {
    const { child, identity } = startMachine();
    await (await openLease(identity, createExec()))?.[Symbol.asyncDispose]();
    expect(await settlesWithin(once(child, "exit"), 500)).toBe(false);
  });
});
