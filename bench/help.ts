// What every call of the CLI costs before it does anything: `--help` beside a Node that does nothing.
import { interleave } from "./harness.ts";
import { comparison, goal, median, ratios } from "./stats.ts";
import { CLI, makeWorld } from "./world.ts";

/** `bot-bottle --help` at most at this multiple of `node -e 0`. */
const GOAL = 1.5;

export async function benchHelp(rounds: number): Promise<string> {
  const world = makeWorld();
  const node = process.execPath;
  const measured = await interleave(
    [
      { name: "node -e 0", argv: [node, "-e", "0"] },
      { name: "bot-bottle --help", argv: [node, CLI, "--help"], env: world.env },
      { name: "bot-bottle list", argv: [node, CLI, "list"], env: world.env },
    ],
    rounds,
  );
  const [bare, help] = measured;
  if (bare === undefined || help === undefined) throw new Error("nothing was measured");
  const ratio = median(ratios(help, bare));
  return `## Start of the CLI\n\n${comparison(measured, bare)}\n${goal("`--help` ÷ `node -e 0`", ratio, GOAL)}`;
}
