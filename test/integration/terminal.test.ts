// A hostile agent on the operator's terminal: the owner lives, and the shell gets its terminal back as it was.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { endByForce } from "../../src/cli/end-by-force.ts";
import { readEnv } from "../../src/cli/env.ts";
import { createOutput } from "../../src/cli/output.ts";
import { isAlive } from "../../src/process/identity.ts";
import { type BottleRecord, readRecord } from "../../src/protocol/record.ts";
import { makeWorld, type World } from "../support/bottle-world.ts";
import { requires } from "../support/requires.ts";

const root = join(import.meta.dirname, "../..");
const driver = join(root, "test/fixtures/programs/on-terminal.py");
const main = join(root, "src/cli/main.ts");

const QUERY = "\u001b[6n";
const ANSWER = "\u001b[5;5R";
/** What an agent of each test begins with: deaf to all signals, and the terminal's settings at hand. */
const PERL = `use POSIX; $| = 1;
$SIG{$_} = "IGNORE" for qw(HUP INT QUIT USR1 USR2 TSTP TTIN TTOU IO);
my $t = POSIX::Termios->new; $t->getattr(0);
sub set { $t->setattr(0, TCSANOW) }
sub refused { my $r = shift; print "\\nerrno ", defined $r ? 0 : $!+0, "\\n" }
`;
/** A shell with job control, so that what it starts can be stopped; it says how that ended, and what is left to read. */
const SHELL = `set -m; "$@"; echo "status=$?"; IFS= read -rs -t 1 -N 1 rest; printf 'rest=[%q]\\n' "$rest"`;

type Play = readonly (readonly [wait: string, act: string])[];

function onTerminal(program: readonly string[], play: Play) {
  const world = makeWorld();
  const cli = [process.execPath, main, "start", "worker", "--yes", "--", ...program];
  const argv = ["/bin/bash", "--norc", "-c", SHELL, "bash", ...cli];
  const { stdout, stderr } = spawnSync("python3", [driver, ...argv], {
    encoding: "utf8",
    cwd: world.project,
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: world.root,
      BOT_BOTTLE_HOME: world.home.home,
      TERM: "xterm",
      NO_COLOR: "1",
      PLAY: JSON.stringify(play),
    },
  });
  expect(stderr).toBe("");
  return JSON.parse(stdout) as { status: number; output: string; restored: boolean };
}

const perl = (script: string): string[] => ["/usr/bin/perl", "-e", PERL + script];
const CHARACTER = (name: string): string =>
  `$t->setlflag($t->getlflag | ISIG); $t->setcc(${name}, ord "R"); set; print "${"\\e[6n"}"; sleep 2; exit 7`;

describe(
  "an agent on the operator's terminal",
  requires("bwrap", "userns", "python3", "perl"),
  () => {
    it("does not kill the owner with the terminal's quit character", () => {
      const { output, restored } = onTerminal(perl(CHARACTER("VQUIT")), [[QUERY, ANSWER]]);
      // The guest's own first process may die of it; the owner ends the bottle as always.
      expect(output).toMatch(/audit log ends at/);
      expect(output).toMatch(/status=(?!131)\d+/);
      expect(output).toContain("rest=['']");
      expect(restored).toBe(true);
    });

    it("does not stop the owner with the suspend character, nor itself", () => {
      const { output, restored } = onTerminal(perl(CHARACTER("VSUSP")), [[QUERY, ANSWER]]);
      expect(output).toContain("status=7");
      expect(output).toContain("audit log ends at");
      expect(restored).toBe(true);
    });

    it("does not block the owner with the stop character", () => {
      const stop = `$t->setiflag($t->getiflag | IXON); $t->setcc(VSTOP, ord "R"); set; print "\\e[6n"; sleep 1; exit 7`;
      const { output, restored } = onTerminal(perl(stop), [[QUERY, ANSWER]]);
      expect(output).toContain("status=7");
      expect(restored).toBe(true);
    });

    it("takes neither the foreground nor signals on input, neither locks nor blocks the terminal", () => {
      const { output, restored } = onTerminal(
        perl(`setpgid(0, 0); $t->setlflag($t->getlflag | TOSTOP); set;
my $pgrp = pack("i", $$); my $on = pack("i", 1); refused(ioctl(STDIN, 0x5410, $pgrp));
refused(fcntl(STDIN, 10, 9)); refused(fcntl(STDIN, 8, $$)); refused(fcntl(STDIN, 4, 0x2002));
refused(ioctl(STDIN, 0x5452, $on)); refused(ioctl(STDIN, 0x540c, 0)); refused(ioctl(STDOUT, 0x540a, 0));
print "\\e[6n"; exit 7`),
        [[QUERY, ANSWER]],
      );
      expect(output.match(/errno \d+/g)).toEqual(["errno 25", ...Array(6).fill("errno 1")]);
      expect(output).toContain("status=7");
      expect(output).toContain("rest=['']");
      expect(restored).toBe(true);
    });

    it("leaves no raw mode behind", () => {
      const raw = "$t->setlflag(0); $t->setiflag(0); $t->setoflag(0); set; exit 0";
      const { output, restored } = onTerminal(perl(raw), []);
      // Before any note.
      expect(output).toContain("audit log ends at");
      expect(output).not.toMatch(/[^\r]\n/);
      expect(output).toContain("status=0");
      expect(restored).toBe(true);
    });

    it.each([["bash"], ["sh"]])("can be an interactive %s without job control", (shell) => {
      const { output, restored } = onTerminal(
        [shell, "-i"],
        [
          ["is running", "echo $((40 + 2)); (sleep 60)\r"],
          ["42", "\u0003"],
          ["", "echo still $((40 + 3))\r"],
          ["still 43", "exit 7\r"],
        ],
      );
      expect(output).toContain("job control");
      expect(output).toContain("status=7");
      expect(restored).toBe(true);
    });
  },
);

const WORK = ["sh", "-c", "echo work > made.txt; echo RUNNING; exec sleep 300"];
const environment = (world: World): Record<string, string> => ({
  ...world.env,
  BOT_BOTTLE_HOME: world.home.home,
});

/** A running bottle, whose owner was stopped in its tracks. */
async function startFrozen(
  world: World,
): Promise<{ readonly slug: string; readonly stateDir: string; readonly record: BottleRecord }> {
  const argv = [main, "start", "worker", "--headless", "--cwd", "--", ...WORK];
  const owner: ChildProcess = spawn(process.execPath, argv, {
    cwd: world.project,
    env: environment(world),
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void owner.kill("SIGKILL"));
  let said = "";
  const slug = await new Promise<string>((resolve, reject) => {
    const listen = (chunk: Buffer): void => {
      said += chunk.toString();
      const found = /bot-bottle: (\S+) is running/.exec(said)?.[1];
      if (found !== undefined && said.includes("RUNNING")) resolve(found);
    };
    owner.stdout?.on("data", listen);
    owner.stderr?.on("data", listen);
    owner.once("exit", () => reject(new Error(`ended early: ${said}`)));
  });
  owner.kill("SIGSTOP");
  const stateDir = join(world.home.state, slug);
  const record = await readRecord(stateDir);
  if (record === undefined) throw new Error("no record");
  return { slug, stateDir, record };
}

function alive({ owner, guest, bundle }: BottleRecord): number[] {
  const all = [...guest.processes, ...bundle, ...(owner === null ? [] : [owner])];
  return all
    .filter((ref) => isAlive({ pid: ref.pid, startTime: ref.start_time }))
    .map((ref) => ref.pid);
}

describe("a bottle whose owner is frozen", requires("bwrap", "userns"), () => {
  it("is ended by stop, which wakes the owner", async () => {
    const world = makeWorld();
    const { slug, stateDir, record } = await startFrozen(world);
    const { status, stderr } = spawnSync(process.execPath, [main, "stop", slug], {
      encoding: "utf8",
      env: environment(world),
      timeout: 60_000,
    });
    expect(status).toBe(0);
    expect(stderr).toContain("work kept");
    // The owner says that it is done a moment before it is gone.
    await vi.waitFor(() => expect(alive(record)).toEqual([]), { timeout: 10_000 });
    expect(await readRecord(stateDir)).toMatchObject({ status: "ended", owner: null });
  });

  it("is ended by force where the owner does not wake up, with its work kept", async () => {
    const world = makeWorld();
    const { slug, stateDir, record } = await startFrozen(world);
    expect(alive(record).length).toBeGreaterThan(2);
    const env = readEnv(environment(world), false);
    const io = { env, output: createOutput(false, true), signal: new AbortController().signal };
    await endByForce(stateDir, slug, io);
    expect(alive(record)).toEqual([]);
    expect(existsSync(record.run_dir)).toBe(false);
    expect(await readRecord(stateDir)).toMatchObject({
      status: "ended",
      owner: null,
      kept: expect.stringMatching(/./) as unknown,
    });
  });
});
