// Commands that need no machine, run on a real smolvm or on the fake one, and what they answered in a form that can be compared.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One command and its answer; $W stands for the working directory. */
export interface Answer {
  readonly args: readonly string[];
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const create = (name: string, ...rest: string[]): string[] => [
  ...["machine", "create", "--name", name, ...rest],
];
const machine = (verb: string, name: string, ...rest: string[]): string[] => [
  ...["machine", verb, "--name", name, ...rest],
];
const ROOTFS = ["--image", "$W/rootfs"];
const LONG = `/${"p".repeat(120)}`;

/** In this order: later commands see what earlier ones made. */
export const CASES: readonly (readonly string[])[] = [
  ["--version"],
  ["machine", "ls"],
  ["machine", "ls", "--json"],
  machine("status", "nope"),
  machine("status", "nope", "--json"),
  machine("start", "nope"),
  machine("stop", "nope"),
  machine("delete", "nope", "--force"),
  machine("exec", "nope", "--", "true"),
  create("a1", ...ROOTFS, "--label", "owner=bb", "--cpus", "1", "--mem", "512", "--", "sleep", "9"),
  create("a1", ...ROOTFS),
  machine("status", "a1"),
  machine("status", "a1", "--json"),
  ["machine", "ls", "--json"],
  machine("exec", "a1", "--", "true"),
  machine("stop", "a1"),
  create("b1", ...ROOTFS, "--volume", "$W/share:/data:ro", "--mount-socket", "/tmp/x.sock:/run/x"),
  machine("status", "b1", "--json"),
  machine("delete", "b1", "--force"),
  machine("delete", "b1", "--force"),
  create("bad name", ...ROOTFS),
  create("a--b", ...ROOTFS),
  create("a-", ...ROOTFS),
  create("a".repeat(129), ...ROOTFS),
  create("c1", "--image", "$W/missing.tar"),
  create("c1", ...ROOTFS, "--mount-socket", "/tmp/x.sock:relative"),
  create("c1", ...ROOTFS, "--mount-socket", "/tmp/x.sock"),
  create("c1", ...ROOTFS, "--mount-socket", "/tmp/a:/run/x", "--mount-socket", "/tmp/b:/run/x"),
  create("c1", ...ROOTFS, "--mount-socket", "/tmp/a.sock:/run/a;b"),
  create("c1", ...ROOTFS, "--label", "novalue"),
  create("c1", ...ROOTFS, "--volume", "/no/such/dir:/data"),
  create("c1", ...ROOTFS, "--volume", "$W/file.md:/data"),
  create("c1", ...ROOTFS, "--cpus", "0"),
  create("c1", ...ROOTFS, "--mem", "1"),
  // What smolvm takes, and must not be given.
  create("d1", ...ROOTFS, "--mount-socket", "relative:/run/x"),
  create("d2", ...ROOTFS, "--mount-socket", `${LONG}:/run/x`),
  create("d3", ...ROOTFS, "--volume", "$W/share:/etc"),
  create("d4", "--image", "$W/file.md"),
  create("d5", ...ROOTFS, "--port", "8080:80"),
  machine("status", "d5", "--json"),
  machine("delete", "a1"),
  machine("delete", "a1", "--force"),
  ["machine", "nonsense"],
  ["machine", "delete"],
];

/** Runs all cases in a new state directory. `argv` begins each command; its environment is given whole. */
export function runCases(
  argv: readonly [string, ...string[]],
  env: Record<string, string>,
): Answer[] {
  const work = mkdtempSync(join(tmpdir(), "bb-smolvm-"));
  try {
    mkdirSync(join(work, "rootfs/bin"), { recursive: true });
    mkdirSync(join(work, "share"));
    mkdirSync(join(work, "state"));
    writeFileSync(join(work, "rootfs/bin/sh"), "");
    writeFileSync(join(work, "file.md"), "# no archive\n");
    const state = join(work, "state");
    const whole = { PATH: "/usr/bin:/bin", HOME: state, SMOLVM_DATA_DIR: state, ...env };
    return CASES.map((args) => runCase(argv, args, { work, env: whole }));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

interface CaseContext {
  readonly work: string;
  readonly env: Record<string, string>;
}

function runCase(
  [program, ...before]: readonly [string, ...string[]],
  args: readonly string[],
  { work, env }: CaseContext,
): Answer {
  const given = args.map((arg) => arg.replaceAll("$W", work));
  const { status, stdout, stderr } = spawnSync(program, [...before, ...given], {
    env,
    cwd: work,
    encoding: "utf8",
    timeout: 30_000,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const plain = (text: string): string =>
    text
      .replaceAll(work, "$W")
      .replace(/"created_at": \d+/g, '"created_at": 0')
      .replace(/ +$/gm, "");
  return { args, exitCode: status, stdout: plain(stdout), stderr: withoutNote(plain(stderr)) };
}

/** The Python package's program says under its own name that it is not packed with a machine. */
function withoutNote(stderr: string): string {
  return stderr.replace(/^note: no packed assets.*\n/gm, "");
}
