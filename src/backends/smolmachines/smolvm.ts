/**
 * The smolvm command line with everything fixed that must never vary: state directory, an environment of our own making, closed
 * stdin, bounded time and output. Nothing of the operator's environment gets through.
 */
import type { HostPath } from "../../base/ids.ts";
import { helperEnv } from "../../process/env.ts";
import type { Exec, RunResult } from "../../process/exec.ts";
import { type Access, reach, renderAccess } from "./access.ts";
import { explainExit } from "./explain.ts";
import type { SmolvmFeatures } from "./features.ts";
import { hasFlag } from "./features.ts";
import type { SmolvmProgram } from "./program.ts";
import { STATE_VARIABLE } from "./vmm.ts";

/** Time for a command that starts nothing; they take milliseconds. */
const COMMAND_MS = 30_000;
/** Time for a command that is given up to end by itself. */
const GRACE_MS = 1_000;
/** Most that a command may print; a status is 2 KiB. */
const MAX_COMMAND_BYTES = 1_048_576;

/** What a {@link Smolvm} is made of. */
export interface SmolvmParts {
  readonly program: SmolvmProgram;
  readonly features: SmolvmFeatures;
  readonly access: Access;
  /** Everything that smolvm keeps of this bottle's machine. */
  readonly stateDir: HostPath;
  readonly exec: Exec;
  readonly searchPath: string;
}

/** Options of one command. */
export interface CommandOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** What failed, for the message. */
  readonly what: string;
}

/** Environment of every smolvm that we start; `extra` holds values that a command takes by name. */
export function smolvmEnv(
  parts: Pick<SmolvmParts, "program" | "access" | "stateDir" | "searchPath">,
): Record<string, string> {
  const { program, access, stateDir, searchPath } = parts;
  const state = reach(access, stateDir);
  const env = helperEnv(searchPath);
  env["HOME"] = state;
  env[STATE_VARIABLE] = state;
  // A first start from an archive would boot a second machine to prepare a disk that only this bottle would use.
  env["SMOLVM_IMAGE_SEEDS"] = "0";
  env["SMOLVM_SECCOMP"] = "enforce";
  env["SMOLVM_LANDLOCK"] = "enforce";
  if (program.libDir !== undefined) {
    env["SMOLVM_LIB_DIR"] = reach(access, program.libDir);
    env["LD_LIBRARY_PATH"] = reach(access, program.libDir);
  }
  if (program.agentRootfs !== undefined)
    env["SMOLVM_AGENT_ROOTFS"] = reach(access, program.agentRootfs);
  return env;
}

/** One smolvm with one state directory. */
export class Smolvm {
  readonly #parts: SmolvmParts;

  constructor(parts: SmolvmParts) {
    this.#parts = parts;
  }

  get features(): SmolvmFeatures {
    return this.#parts.features;
  }

  get access(): Access {
    return this.#parts.access;
  }

  get env(): Readonly<Record<string, string>> {
    return smolvmEnv(this.#parts);
  }

  /** The whole argument list of a command. */
  argv(args: readonly string[]): readonly string[] {
    const { program, access, features, stateDir } = this.#parts;
    const state = hasFlag(features, "create", "state-dir")
      ? ["--state-dir", reach(access, stateDir)]
      : [];
    return renderAccess(access, [reach(access, program.program), ...state, ...args]);
  }

  /** Runs a command to its end, whatever its exit status. */
  run(args: readonly string[], options: CommandOptions): Promise<RunResult> {
    return this.#parts.exec.run(this.argv(args), {
      env: this.env,
      cwd: "/",
      timeoutMs: options.timeoutMs ?? COMMAND_MS,
      graceMs: GRACE_MS,
      maxOutputBytes: MAX_COMMAND_BYTES,
      signal: options.signal,
      name: "smolvm",
    });
  }

  /** Runs a command that must succeed and returns its output. Throws HostError or LaunchError with the reason it gave. */
  async command(args: readonly string[], options: CommandOptions): Promise<string> {
    const result = await this.run(args, options);
    if (result.exitCode === 0) return result.stdout.toString("utf8");
    throw explainExit(options.what, result);
  }
}
