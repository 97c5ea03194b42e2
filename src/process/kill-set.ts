/** The last net under every scope: what is still running is killed synchronously when this process ends. */
import { sendSignal } from "./terminate.ts";

/** Children that must not outlive us. */
export interface KillSet {
  /** `group`: the whole process group led by `pid`. */
  add(pid: number, reach: "group" | "process"): void;
  /** To be called the moment the child has exited, so that a reused pid is never killed. */
  remove(pid: number): void;
  /** Sends SIGKILL to all, at once and synchronously. */
  killAll(): void;
}

/** Makes an empty kill set; it does nothing until {@link installKillSet}. */
export function createKillSet(): KillSet {
  const targets = new Map<number, number>();
  return {
    add: (pid, reach) => void targets.set(pid, reach === "group" ? -pid : pid),
    remove: (pid) => void targets.delete(pid),
    killAll: () => {
      for (const target of targets.values()) sendSignal(target, "SIGKILL");
      targets.clear();
    },
  };
}

/** Where the end of this process is told. */
export interface ExitSource {
  on(event: "exit", listener: () => void): unknown;
  off(event: "exit", listener: () => void): unknown;
}

/** Runs the set when this process exits. For entry points only: a library must not hook its host's exit. */
export function installKillSet(set: KillSet, source: ExitSource = process): Disposable {
  const onExit = (): void => set.killAll();
  source.on("exit", onExit);
  return { [Symbol.dispose]: () => void source.off("exit", onExit) };
}
