/** `cleanup`: one plan of everything that dead owners left, one question, then removal. Work is kept unless it is named. */
import { systemClock } from "../../base/clock.ts";
import { BottleError, LaunchError, messageOf, UsageError } from "../../base/errors.ts";
import { LineSplitter } from "../../base/lines.ts";
import { silentLogger } from "../../base/log.ts";
import {
  findLeftovers,
  findOrphanObjects,
  findOrphanRuns,
  findUnrecorded,
  type ListedBottle,
  listBottles,
  type OrphanObject,
  type ReapItem,
  reap,
  removeBottle,
  removeOrphanObject,
  removeOrphanRun,
} from "../../index.ts";
import { createExec } from "../../process/spawn.ts";
import { askYesNo, hasTerminal, isYes } from "../ask.ts";
import { cleanLine } from "../clean-text.ts";
import { renderColumns } from "../columns.ts";
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import { isSet } from "../flags/read.ts";
import type { Output } from "../output.ts";
import { matchSlug } from "../slugs.ts";

/** The command `cleanup`. */
export const cleanupCommand: Command = {
  name: "cleanup",
  summary: "remove what dead bottles left",
  description:
    "Find what killed owners left behind (processes, run directories, records, control groups, containers, networks), show it, and remove it after one question. An agent's work is never removed, unless its bottle is named.",
  isInterruptible: true,
  args: [
    {
      name: "slug",
      summary: "kept bottles to remove too, their work included",
      isOptional: true,
      isVariadic: true,
      completes: "bottle",
    },
  ],
  flags: [
    { name: "yes", short: "y", summary: "do not ask" },
    { name: "json", summary: "print the plan as JSON; nothing is removed without --yes" },
  ],
  examples: [
    { command: "bot-bottle cleanup", explanation: "show what is left and ask" },
    { command: "bot-bottle cleanup --yes", explanation: "for scripts" },
    {
      command: "bot-bottle cleanup claude-x1y2z",
      explanation: "also delete the work that this bottle kept",
    },
  ],
  run: runCleanup,
};

/** Everything that would go. */
interface CleanupPlan {
  readonly leftovers: readonly ReapItem[];
  /** Run directories that belong to no bottle. */
  readonly runs: readonly string[];
  /** Containers and networks of this home's bottles that no record names. */
  readonly objects: readonly OrphanObject[];
  /** Why nobody could be asked for those; undefined when somebody was. */
  readonly unasked: string | undefined;
  /** Kept bottles that the operator named. */
  readonly doomed: readonly Doomed[];
  /** Kept bottles that stay. */
  readonly kept: readonly ListedBottle[];
  /** State directories without a record that stay: nothing says whether work is in them. */
  readonly unrecorded: readonly string[];
}

type Doomed = Pick<ListedBottle, "slug" | "backend" | "kept">;

async function runCleanup({ args, flags }: ParsedArgs, io: CommandIo): Promise<number> {
  const plan = await makePlan(io, args);
  const { leftovers, runs, objects, doomed } = plan;
  const isEmpty = leftovers.length + runs.length + objects.length + doomed.length === 0;
  const isJson = isSet(flags, "json");
  if (!isJson) printPlan(plan, isEmpty, io);
  const isAgreed = !isEmpty && (isSet(flags, "yes") || (!isJson && (await agrees(io, args))));
  const failed = isAgreed ? await perform(plan, io) : [];
  const failures = failed.map(({ name, error }) => `${name}: ${messageOf(error)}`);
  if (isJson) io.output.json({ ...describePlan(plan), removed: isAgreed, failures });
  else if (isAgreed && failures.length === 0) io.output.note("done");
  else if (!isEmpty && !isAgreed) io.output.note("nothing was changed");
  if (failures.length > 0) throw leftError(failed, failures);
  return 0;
}

function leftError(failed: readonly Failed[], failures: readonly string[]): LaunchError {
  const hints = failed.map(({ error }) => (error instanceof BottleError ? error.hint : undefined));
  const hint = hints.find((it) => it !== undefined);
  return new LaunchError("process.failed", `cleanup left something: ${failures.join("; ")}`, {
    hint: hint ?? "run it again as the user who started the bottle",
  });
}

/** Objects on an engine; one that is not there does not keep the rest from being cleaned. */
async function findObjects(io: CommandIo): Promise<Pick<CleanupPlan, "objects" | "unasked">> {
  try {
    return { objects: await findOrphanObjects(io.env.home, portsOf(io)), unasked: undefined };
  } catch (error) {
    if (!(error instanceof BottleError)) throw error;
    return { objects: [], unasked: error.message };
  }
}

async function makePlan(io: CommandIo, args: readonly string[]): Promise<CleanupPlan> {
  const { home } = io.env;
  const [found, leftovers, runs, bottles, unrecorded] = await Promise.all([
    findObjects(io),
    findLeftovers(home),
    findOrphanRuns(home),
    listBottles(home),
    findUnrecorded(home),
  ]);
  const names = [...bottles.map((bottle) => bottle.slug), ...unrecorded];
  const wanted = new Set(args.map((text) => matchSlug(text, names)));
  const alive = bottles.find(
    ({ slug, status }) => wanted.has(slug) && status !== "kept" && status !== "dead",
  );
  if (alive !== undefined) {
    throw new UsageError(
      "usage.invalid",
      `bottle ${alive.slug} cannot be removed: it is ${alive.status}`,
      {
        hint: `end it first: bot-bottle stop ${alive.slug}`,
      },
    );
  }
  const kept = bottles.filter((bottle) => bottle.status === "kept");
  return {
    ...found,
    leftovers,
    runs,
    doomed: [
      ...bottles.filter((bottle) => wanted.has(bottle.slug)),
      ...unrecorded
        .filter((slug) => wanted.has(slug))
        .map((slug) => ({ slug, backend: "-", kept: "no record" })),
    ],
    kept: kept.filter((bottle) => !wanted.has(bottle.slug)),
    unrecorded: unrecorded.filter((slug) => !wanted.has(slug)),
  };
}

function describePlan(plan: CleanupPlan): Record<string, unknown> {
  const { leftovers, runs, objects, unasked, doomed, kept, unrecorded } = plan;
  return {
    leftovers: leftovers.map(({ name, backend, why, outcome }) => ({
      name,
      backend,
      why,
      outcome,
    })),
    runs,
    objects: objects.map(({ backend, object, why }) => ({
      ...{ backend, kind: object.kind, name: object.name, bottle: object.bottle, why },
    })),
    ...(unasked === undefined ? {} : { unasked }),
    doomed: doomed.map(({ slug, kept: why }) => ({ slug, why })),
    kept: kept.map(({ slug, kept: why }) => ({ slug, why })),
    unrecorded,
  };
}

function printPlan(plan: CleanupPlan, isEmpty: boolean, { output }: CommandIo): void {
  const rows: string[][] = [
    ...plan.leftovers.map(({ name, backend, why, outcome }) => [
      backend === "" ? "-" : backend,
      name,
      outcome === "keep" ? "stop, keep the work" : "remove",
      why,
    ]),
    ...plan.runs.map((directory) => ["-", directory, "remove", "a run directory of no bottle"]),
    ...plan.objects.map(({ backend, object, why }) => [backend, object.name, "remove", why]),
    ...plan.doomed.map(({ backend, slug, kept }) => [
      backend,
      slug,
      "delete with its work",
      kept ?? "named by you",
    ]),
  ];
  for (const line of renderColumns(rows.map((row) => row.map(cleanLine)))) output.print(line);
  if (isEmpty) output.note("nothing to clean up");
  noteStaying(
    output,
    "not looked for on the container engine:",
    plan.unasked === undefined ? [] : [plan.unasked],
  );
  noteStaying(
    output,
    "kept, because there is work in it:",
    plan.kept.map(({ slug, kept }) => `${slug}: ${kept ?? ""}`),
  );
  noteStaying(output, "no record, and perhaps work in it; name it to remove it:", plan.unrecorded);
}

function noteStaying(output: Output, title: string, lines: readonly string[]): void {
  if (lines.length > 0) output.note(output.color.dim(title));
  for (const line of lines) output.note(output.color.dim(`  ${cleanLine(line)}`));
}

/** A terminal is asked; otherwise stdin answers, so that `yes | bot-bottle cleanup` works. */
async function agrees(io: CommandIo, names: readonly string[]): Promise<boolean> {
  const question = "Remove this?";
  if (hasTerminal()) return askYesNo(question, io.signal);
  io.output.error(`${question} [y/N]`);
  const answer = await firstInputLine();
  if (answer !== undefined) return isYes(answer);
  throw new UsageError("usage.not-a-terminal", "cleanup needs an answer, and stdin is empty", {
    hint: ["bot-bottle cleanup", ...names, "--yes"].join(" "),
  });
}

async function firstInputLine(): Promise<string | undefined> {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  for await (const chunk of process.stdin) {
    splitter.push(String(chunk));
    if (lines.length > 0) break;
  }
  splitter.end();
  return lines[0];
}

function portsOf({ env }: CommandIo): Parameters<typeof reap>[2] {
  return {
    exec: createExec(),
    clock: systemClock,
    log: silentLogger,
    searchPath: env.all["PATH"] ?? "",
    env: env.all,
  };
}

/** Something that could not be removed. */
interface Failed {
  readonly name: string;
  readonly error: unknown;
}

/** Removes everything that can be removed; returns what could not. What frees space comes before what needs some. */
async function perform(plan: CleanupPlan, io: CommandIo): Promise<readonly Failed[]> {
  const { home } = io.env;
  const ports = portsOf(io);
  const failed: Failed[] = [];
  const attempt = async (name: string, work: Promise<unknown>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      failed.push({ name, error });
    }
  };
  const reapThose = async (isMeant: (item: ReapItem) => boolean): Promise<void> => {
    for (const item of plan.leftovers.filter(isMeant))
      await attempt(item.name, reap(item, home, ports));
  };
  const doomed = new Set(plan.doomed.map(({ slug }) => slug));
  const staysKept = ({ name, outcome }: ReapItem): boolean =>
    outcome === "keep" && !doomed.has(name);
  await reapThose((item) => !staysKept(item));
  for (const orphan of plan.objects)
    await attempt(orphan.object.name, removeOrphanObject(orphan, ports));
  for (const directory of plan.runs) await attempt(directory, removeOrphanRun(directory));
  for (const { slug } of plan.doomed) await attempt(slug, removeBottle(home, slug));
  await reapThose(staysKept);
  return failed;
}
