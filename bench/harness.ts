// Runs programs in interleaved rounds and tells wall time and processor time of each run, children included.
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** One program to measure. */
export interface Contender {
  readonly name: string;
  readonly argv: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** What one run took, in milliseconds. */
export interface Sample {
  readonly wall: number;
  readonly cpu: number;
}

/** All runs of one program, by round. */
export interface Measured {
  readonly name: string;
  readonly samples: readonly Sample[];
}

/**
 * The shell's own clock: from before the fork to the exit, with the processor time of everything that was waited for. The
 * output goes through pipes, as it does for whoever runs an agent unattended.
 */
const TIMED = `TIMEFORMAT='%3R %3U %3S'
{ time "$@" </dev/null 2>&4 | cat >/dev/null; } 4> >(tail -n 20 >&3)
exit "\${PIPESTATUS[0]}"`;

/** Runs one program once. Throws when it fails, with what it said. */
export async function measure({ argv, cwd, env }: Contender): Promise<Sample> {
  const { stderr } = await run("bash", ["-c", `exec 3>&1; ${TIMED}`, "bench", ...argv], {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, ...env },
  });
  const [real = 0, user = 0, system = 0] = stderr.trim().split(/\s+/).map(Number);
  return { wall: real * 1000, cpu: (user + system) * 1000 };
}

/** Runs all programs in each round, each round beginning with another one, after one round that does not count. */
export async function interleave(
  contenders: readonly Contender[],
  rounds: number,
): Promise<readonly Measured[]> {
  const samples = contenders.map((): Sample[] => []);
  for (let round = -1; round < rounds; round += 1) {
    for (let turn = 0; turn < contenders.length; turn += 1) {
      const index = (turn + round + contenders.length) % contenders.length;
      const contender = contenders[index];
      if (contender === undefined) continue;
      const sample = await measure(contender);
      if (round >= 0) samples[index]?.push(sample);
    }
  }
  return contenders.map(({ name }, index) => ({ name, samples: samples[index] ?? [] }));
}
