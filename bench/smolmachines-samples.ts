// What one round in the emulated host measures, in milliseconds, and how it comes out of there.

/** The rows of the table, in order. */
export const ROWS = [
  "smolvm alone, create and start",
  "a bottle, start to ready",
  "of it: before the guest",
  "of it: smolvm create",
  "of it: smolvm start",
  "of it: smolvm's other commands",
  "of it: waiting for guest-init",
  "of it: the bundle, beside the machine",
  "of it: the proofs and the files",
  "close",
] as const;

/** One round. */
export type Sample = Record<(typeof ROWS)[number], number>;

const MARK = "samples: ";

/** Prints them where {@link parseSamples} finds them. */
export function printSamples(samples: readonly Sample[]): void {
  process.stdout.write(`${MARK}${JSON.stringify(samples)}\n`);
}

/** Throws where there are none. */
export function parseSamples(output: string): readonly Sample[] {
  const line = output.split("\n").find((it) => it.startsWith(MARK));
  if (line === undefined) throw new Error(`the benchmark printed no samples: ${output}`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- printed by the function above
  return JSON.parse(line.slice(MARK.length)) as readonly Sample[];
}
