// A home, a project and the built CLI in them, for tests that drive it as a user does; nothing of it may be left behind.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { type Ended, type RunOptions, runCli, startCli } from "./built-cli.ts";
import { processesAround } from "./find-secrets.ts";

const SHELL =
  "agent_provider: { template: command, settings: { argv: [/bin/sh, -c, 'echo done'] } }";

export class CliHome implements AsyncDisposable {
  readonly root: string;
  readonly home: string;
  readonly project: string;
  /** Where temporary files of the command go; Node keeps its compiled code there, too. */
  readonly temporary: string;

  constructor(bottle: string = SHELL, parent: string = tmpdir()) {
    this.root = mkdtempSync(join(parent, "bb-cli-"));
    this.home = join(this.root, "home");
    this.project = join(this.root, "project");
    this.temporary = join(this.root, "tmp");
    for (const directory of [
      join(this.home, "bottles"),
      join(this.home, "agents"),
      this.project,
      this.temporary,
    ])
      mkdirSync(directory, { recursive: true });
    this.bottle("box", bottle);
    this.agent("worker", "box");
    writeFileSync(join(this.project, "README.md"), "# project\n");
  }

  bottle(name: string, text: string): void {
    writeFileSync(join(this.home, "bottles", `${name}.md`), `---\n${text}\n---\n`);
  }

  agent(name: string, bottle: string): void {
    writeFileSync(
      join(this.home, "agents", `${name}.md`),
      `---\nbottle: ${bottle}\n---\nDo the work.\n`,
    );
  }

  options(more: RunOptions = {}): RunOptions {
    return {
      cwd: this.project,
      ...more,
      env: { HOME: this.root, BOT_BOTTLE_HOME: this.home, TMPDIR: this.temporary, ...more.env },
    };
  }

  run(argv: readonly string[], more: RunOptions = {}): Promise<Ended> {
    return runCli(argv, this.options(more));
  }

  /** Runs a shell script in a new bottle. */
  sh(
    script: string,
    more: RunOptions & { readonly flags?: readonly string[] } = {},
  ): Promise<Ended> {
    return this.run(
      ["start", "worker", "--headless", ...(more.flags ?? []), "--", "/bin/sh", "-c", script],
      more,
    );
  }

  start(argv: readonly string[], more: RunOptions = {}): ReturnType<typeof startCli> {
    return startCli(argv, this.options(more));
  }

  /** Names of what lies in a directory of the home. */
  names(directory: "state" | "run" | "queue" | "audit"): string[] {
    const path = join(this.home, directory);
    return existsSync(path) ? readdirSync(path).toSorted() : [];
  }

  /** No process, socket or run directory of ours is there any more. */
  async expectNothingLeft(): Promise<void> {
    await vi.waitFor(() => expect(processesAround(this.root)).toEqual([]), 5000);
    expect(this.names("run")).toEqual([]);
    expect(readdirSync(this.temporary).filter((name) => name !== "node-compile-cache")).toEqual([]);
    expect(readFileSync("/proc/net/unix", "utf8")).not.toContain(this.root);
    expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(this.home);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.root, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The one error of ours that a command ends with: code, message and hint. */
export function failureOf({ stderr }: Ended): { code: string; message: string; hint: string } {
  const [, code = "", message = ""] = /^error \[([\w.-]+)\] (.*)$/m.exec(stderr) ?? [];
  const [, hint = ""] = /^hint: (.*)$/m.exec(stderr) ?? [];
  return { code, message, hint };
}
