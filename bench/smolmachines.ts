// What a bottle in a machine costs beside smolvm alone, in the emulated host of the tests: durations there tell nothing of a real machine,
// shares do.
import { install } from "../test/support/machine-programs.ts";
import { INSIDE, openMachineHost } from "../test/support/smolvm-host.ts";
import { parseSamples, ROWS } from "./smolmachines-samples.ts";
import { cell, median, table } from "./stats.ts";

const DEADLINE_MS = 30 * 60_000;
/** Of what a program said that failed: before it comes the line of code, which is the whole bundle. */
const TAIL = 2000;

/** The section of the report. */
export async function benchSmolmachines(rounds: number): Promise<string> {
  await using host = await openMachineHost();
  const program = await install(host, "bench/smolmachines-inside.ts");
  const { stdout, stderr, status } = await host.exec(["node", program, String(rounds)], {
    timeoutMs: DEADLINE_MS,
    env: { BOT_BOTTLE_IMAGE: INSIDE.image, BOT_BOTTLE_SMOLVM: host.smolvm },
  });
  if (status !== 0) throw new Error(`the benchmark ended with ${status}: ${stderr.slice(-TAIL)}`);
  const samples = parseSamples(stdout);
  const values = (name: (typeof ROWS)[number]): readonly number[] => samples.map((it) => it[name]);
  const whole = median(values("a bottle, start to ready"));
  const rows = ROWS.map((name) => [
    name,
    cell(values(name)),
    `${((median(values(name)) / whole) * 100).toFixed(0)} %`,
  ]);
  const own = samples.map(
    (it) =>
      1 - (it["of it: smolvm create"] + it["of it: smolvm start"]) / it["a bottle, start to ready"],
  );
  const beside = samples.map(
    (it) => it["a bottle, start to ready"] / it["smolvm alone, create and start"],
  );
  return [
    "## Smolmachines\n",
    table(["start", "ms", "of the bottle"], rows),
    `Our own share of start to ready: ${(median(own) * 100).toFixed(0)} %.`,
    `Bottle ÷ smolvm alone: ${cell(beside, 2)}.\n`,
  ].join("\n");
}
