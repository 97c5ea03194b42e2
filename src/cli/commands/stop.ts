/** `stop`: ends running bottles and says what became of the work. */

import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { BottleError, LaunchError, systemCode, UsageError } from "../../base/errors.ts";
import { parseBottleId } from "../../base/ids.ts";
import { connectBottle, type ListedBottle, listBottles } from "../../index.ts";
import { isAlive, killIfSame } from "../../process/identity.ts";
import { auditHead } from "../../protocol/audit-log.ts";
import { readRecord } from "../../protocol/record.ts";
import { bringBackCommand } from "../bring-back.ts";
import { cleanText } from "../clean-text.ts";
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import { endByForce } from "../end-by-force.ts";
import { isSet } from "../flags/read.ts";
import { activeNames, matchSlug } from "../slugs.ts";

/** How long an owner that does not answer its socket may take to end after SIGTERM, before it is killed, in milliseconds. */
const TERMINATE_MS = 30_000;
const POLL_MS = 100;

/** The command `stop`. */
export const stopCommand: Command = {
  name: "stop",
  summary: "end a running bottle",
  description:
    "End every process in the bottle and close its doors. Work that differs from what the agent was given is kept, and the command that brings it back is printed.",
  isInterruptible: true,
  args: [
    {
      name: "slug",
      summary: "bottles, or beginnings of their names",
      isOptional: true,
      isVariadic: true,
      completes: "bottle",
    },
  ],
  flags: [
    { name: "all", summary: "stop every running bottle of this home" },
    { name: "json", summary: "print what was stopped as JSON" },
  ],
  examples: [
    { command: "bot-bottle stop claude-x1y2z", explanation: "end one bottle" },
    { command: "bot-bottle stop --all", explanation: "end all of them" },
  ],
  run: runStop,
};

/** One bottle that ended. */
interface Stopped {
  readonly slug: string;
  /** Why its work was kept; undefined when there was none. */
  readonly kept: string | undefined;
  /** The command that brings the work back. */
  readonly bring_back: string | undefined;
  /** `seq:hash` of the audit log's last line, for `audit verify --head`; undefined when it cannot be read. */
  readonly audit_head: string | undefined;
}

async function runStop(parsed: ParsedArgs, io: CommandIo): Promise<number> {
  const { home } = io.env;
  const chosen = choose(await listBottles(home), parsed);
  const outcomes = await Promise.allSettled(chosen.map((bottle) => stopOne(io, bottle)));
  const stopped = outcomes.flatMap((it) => (it.status === "fulfilled" ? [it.value] : []));
  if (isSet(parsed.flags, "json")) io.output.json({ stopped });
  else for (const bottle of stopped) tell(bottle, io);
  if (chosen.length === 0) io.output.note("nothing is running");
  const failures = outcomes.flatMap((it) =>
    it.status === "rejected" ? [it.reason as unknown] : [],
  );
  if (failures.length > 0) throw failureOf(failures);
  return 0;
}

function choose(
  bottles: readonly ListedBottle[],
  { args, flags }: ParsedArgs,
): readonly ListedBottle[] {
  const isActive = ({ status }: ListedBottle): boolean =>
    status === "running" || status === "launching";
  if (isSet(flags, "all")) {
    if (args.length === 0) return bottles.filter(isActive);
    throw new UsageError("usage.invalid", "--all goes without names", {
      hint: "leave out either --all or the names",
    });
  }
  if (args.length === 0) {
    throw new UsageError("usage.invalid", "stop needs a bottle; a name or --all is expected", {
      hint: "run bot-bottle list active",
    });
  }
  const names = bottles.map((bottle) => bottle.slug);
  const wanted = new Set(args.map((text) => matchSlug(text, names, activeNames(bottles))));
  const chosen = bottles.filter((bottle) => wanted.has(bottle.slug));
  const idle = chosen.find((bottle) => !isActive(bottle));
  if (idle === undefined) return chosen;
  throw new UsageError(
    "usage.not-running",
    `bottle ${idle.slug} is not running: it is ${idle.status}`,
    {
      hint: idle.status === "dead" ? "run bot-bottle cleanup" : "run bot-bottle list active",
    },
  );
}

async function stopOne(io: CommandIo, { slug, status }: ListedBottle): Promise<Stopped> {
  const { home } = io.env;
  const id = parseBottleId(slug);
  const stateDir = join(home.state, id);
  let isAsked = false;
  if (status !== "launching") {
    try {
      await using connection = await connectBottle(home, id);
      await connection.stop();
      isAsked = true;
    } catch (error) {
      if (!(error instanceof BottleError)) throw error;
    }
  }
  // An owner that does not answer is told by the system instead.
  if (!isAsked) await terminateOwner(stateDir);
  if (!(await hasEnded(stateDir))) await endByForce(stateDir, slug, io);
  const record = await readRecord(stateDir);
  const audit_head = readHead(join(home.audit, `${id}.jsonl`));
  if (record === undefined || record.kept === "") {
    return { slug, kept: undefined, bring_back: undefined, audit_head };
  }
  const bring_back = bringBackCommand(slug, record.copy_cwd);
  return { slug, kept: record.kept, bring_back, audit_head };
}

/** A log that is broken is told by `audit verify`; the bottle was stopped all the same. */
function readHead(path: string): string | undefined {
  try {
    const head = auditHead(path);
    return head === undefined ? undefined : `${head.seq}:${head.hash}`;
  } catch (error) {
    if (error instanceof BottleError || systemCode(error) !== undefined) return undefined;
    throw error;
  }
}

/** Also wakes an owner that was stopped: it cannot end a bottle, nor itself, before. */
async function terminateOwner(stateDir: string): Promise<void> {
  const owner = (await readRecord(stateDir))?.owner ?? null;
  if (owner === null) return;
  for (const signal of ["SIGTERM", "SIGCONT"] as const)
    killIfSame({ pid: owner.pid, startTime: owner.start_time }, signal);
}

/**
 * Whether the bottle ends in time. The record names an owner until the owner is done; one that died without a word is for
 * `cleanup`.
 */
async function hasEnded(stateDir: string): Promise<boolean> {
  for (const until = systemClock.monotonic() + TERMINATE_MS; ; ) {
    const record = await readRecord(stateDir);
    if (record === undefined || record.owner === null) return true;
    if (!isAlive({ pid: record.owner.pid, startTime: record.owner.start_time })) return true;
    if (systemClock.monotonic() > until) return false;
    await systemClock.sleep(POLL_MS);
  }
}

function tell({ slug, kept, bring_back, audit_head }: Stopped, { output }: CommandIo): void {
  output.print(slug);
  if (audit_head !== undefined) output.note(`audit log ends at ${audit_head}`);
  if (kept === undefined) return;
  output.note(`work kept: ${cleanText(kept)}`);
  output.note(`  ${bring_back}`);
}

/** One failure as it is; of several the first, with the others beside it. */
function failureOf(failures: readonly unknown[]): unknown {
  const [first] = failures;
  if (failures.length === 1 || !(first instanceof Error)) return first;
  return new LaunchError(
    "launch.backend",
    `${failures.length} bottles were not stopped: ${first.message}`,
    {
      hint: "run bot-bottle list active",
      cause: first,
    },
  );
}
