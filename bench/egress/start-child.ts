// Starts a program on a processor of its own and waits until it is there.
import { type ChildProcess, spawn } from "node:child_process";
import { connect } from "node:net";
import { cpus } from "node:os";

/** Proxies run on the last processor, everything else on the first. */
export const PROXY_CPU: number = cpus().length - 1;

export interface Started {
  readonly pid: number;
  readonly child: ChildProcess;
  /** First line of its output, for programs that print one. */
  readonly line: string;
  stop(): void;
}

export interface StartOptions {
  readonly cpu: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Ready when it prints a line, or when a port of 127.0.0.1 accepts. */
  readonly ready: "line" | { readonly port: number };
}

/** Starts it. Throws when it ends first, with what it said. */
export async function start(argv: readonly string[], options: StartOptions): Promise<Started> {
  const pinned = ["taskset", "-c", String(options.cpu), ...argv];
  const child = spawn(pinned[0] ?? "", pinned.slice(1), {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let said = "";
  let line = "";
  child.stderr.on("data", (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-4000)));
  const ended = new Promise<never>((_, reject) => {
    child.once("error", reject);
    child.once("exit", (code) =>
      reject(new Error(`${argv[0]} ended with ${code}: ${said}${line}`)),
    );
  });
  ended.catch(() => undefined);
  const printed = new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      line = `${line}${chunk.toString()}`.slice(-4000);
      if (line.includes("\n")) resolve();
    });
  });
  const { ready } = options;
  await Promise.race([ready === "line" ? printed : accepting(ready.port), ended]);
  process.once("exit", () => child.kill("SIGKILL"));
  return { pid: child.pid ?? 0, child, line: line.trim(), stop: () => void child.kill("SIGKILL") };
}

async function accepting(port: number): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
    if (isOpen) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`nothing listens on port ${port}`);
}
