// Measures what a user waits for and prints Markdown: `node bench/run.ts [--rounds N] [--only NAME]`. Needs the built dist/
// (node scripts/build.ts). Other programs are run under the same Node; rounds are interleaved, ratios taken pair by pair.
import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { benchDocker, hasEngine } from "./docker.ts";
import { benchEgress } from "./egress.ts";
import { benchEgressMemory } from "./egress-memory.ts";
import { benchExec } from "./exec.ts";
import { benchHelp } from "./help.ts";
import { benchMemory } from "./memory.ts";
import { benchSmolmachines } from "./smolmachines.ts";
import { benchStart } from "./start.ts";

/** Makes one section of the report. */
type Benchmark = (rounds: number) => Promise<string>;

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  help: benchHelp,
  start: benchStart,
  exec: benchExec,
  memory: benchMemory,
  ...(hasEngine() ? { docker: benchDocker } : {}),
  egress: benchEgress,
};
/** Only where it is asked for by name: too long, or it brings an emulated host. */
const BY_NAME: Readonly<Record<string, Benchmark>> = {
  "egress-memory": benchEgressMemory,
  smolmachines: benchSmolmachines,
};
const MIN_ROUNDS = 7;

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "11" }, only: { type: "string" } },
});
const rounds = Math.max(MIN_ROUNDS, Number(values.rounds) || 0);
const chosen =
  values.only === undefined
    ? Object.entries(BENCHMARKS)
    : Object.entries({ ...BENCHMARKS, ...BY_NAME }).filter(([name]) => name === values.only);
if (chosen.length === 0) {
  console.error(
    `bench: --only ${values.only}: one of ${Object.keys({ ...BENCHMARKS, ...BY_NAME }).join(", ")}`,
  );
  process.exitCode = 64;
}
if (chosen.length > 0) console.log(describeMachine());
for (const [name, bench] of chosen) {
  console.error(`bench: ${name}, ${rounds} rounds`);
  console.log(await bench(rounds));
}

/** In general terms: what makes figures comparable, and nothing that names a machine. */
function describeMachine(): string {
  const system = execFileSync("sh", ["-c", '. /etc/os-release; echo "$PRETTY_NAME"']);
  const user = process.getuid?.() === 0 ? "root" : "an ordinary user";
  return `${cpus().length} cores, ${system.toString().trim()}, Node ${process.versions.node}, as ${user}. Cells are median [min–max] of ${rounds} interleaved rounds.\n`;
}
