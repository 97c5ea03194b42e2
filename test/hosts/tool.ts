// Runs the programs of the build: their words go to its log, and to the error when they fail.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";

/** Runs one program to its end. */
export type Tool = (program: string, args: readonly string[]) => Promise<void>;

const TAIL_LINES = 15;

/** Programs that write into this log. */
export function openTool(log: string): Tool {
  return async (program, args) => {
    const output = openSync(log, "a");
    try {
      const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
      const child = spawn(program, args, { stdio: ["ignore", output, output], env });
      const [status] = await once(child, "exit");
      if (status === 0) return;
      const tail = readFileSync(log, "utf8").trimEnd().split("\n").slice(-TAIL_LINES);
      throw new Error(`${program} failed with ${String(status)}:\n${tail.join("\n")}`);
    } finally {
      closeSync(output);
    }
  };
}

/** Runs a quick program whose output is not wanted. */
export function run(program: string, args: readonly string[]): void {
  execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });
}
