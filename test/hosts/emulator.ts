// One running QEMU: started so that it dies with whoever started it, and gone when stopped.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AgentClient } from "./agent-client.ts";
import { Monitor } from "./monitor.ts";
import { type Emulation, emulationArgv, RUN_FILES } from "./qemu.ts";

export class Emulator {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly monitor: Monitor;
  readonly agent: AgentClient;

  private constructor(child: ChildProcess, pid: number, monitor: Monitor, agent: AgentClient) {
    this.#child = child;
    this.pid = pid;
    this.monitor = monitor;
    this.agent = agent;
  }

  /** Starts QEMU and connects to its monitor and to the agent's port. */
  static async start(
    emulation: Emulation,
    more: readonly string[],
    signal: AbortSignal,
  ): Promise<Emulator> {
    const { run } = emulation;
    mkdirSync(run, { recursive: true });
    const log = openSync(join(run, "qemu.log"), "w");
    // The kernel kills it when this process ends, however that happens.
    const argv = ["--pdeathsig", "KILL", "--", ...emulationArgv(emulation), ...more];
    const child = spawn("setpriv", argv, { stdio: ["ignore", log, log] });
    closeSync(log);
    const over = new AbortController();
    child.once("exit", () => over.abort(new Error(readFileSync(join(run, "qemu.log"), "utf8"))));
    child.once("error", (error) => over.abort(error));
    const either = AbortSignal.any([signal, over.signal]);
    try {
      const monitor = await Monitor.open(join(run, RUN_FILES.monitor), either);
      const agent = await AgentClient.open(join(run, RUN_FILES.agent), either);
      if (child.pid === undefined) throw new Error("QEMU has no pid");
      return new Emulator(child, child.pid, monitor, agent);
    } catch (error) {
      await stop(child);
      throw error;
    }
  }

  /** Resolves when it is gone. */
  get ended(): Promise<unknown> {
    return hasEnded(this.#child) ? Promise.resolve() : once(this.#child, "exit");
  }

  /** Kills it and waits until it is gone. */
  async stop(): Promise<void> {
    this.agent.close();
    this.monitor.close();
    await stop(this.#child);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

async function stop(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
