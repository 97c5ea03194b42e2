/** `logs`: what the parts of a bottle wrote. The agent's and the guest's lines are hostile text: a terminal gets them escaped. */
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { isatty } from "node:tty";
import { UsageError } from "../../base/errors.ts";
import { parseBottleId } from "../../base/ids.ts";
import { LineSplitter } from "../../base/lines.ts";
import { bottlePaths } from "../../base/paths.ts";
import { type HomePaths, type ListedBottle, listBottles } from "../../index.ts";
import { cleanText } from "../clean-text.ts";
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import { endedStatus } from "../exit.ts";
import { flagText, isSet } from "../flags/read.ts";
import { type FollowOptions, followFile } from "../follow-file.ts";
import { findBottle } from "../slugs.ts";

/** Parts of a bottle that write a log, each to `<part>.log`. */
const PARTS = ["agent", "owner", "bundle", "guest"] as const;
type Part = (typeof PARTS)[number];
/** Longest line that is shown whole. */
const MAX_LINE = 65_536;

/** The command `logs`. */
export const logsCommand: Command = {
  name: "logs",
  summary: "show what a bottle's parts wrote",
  description:
    "Show the logs of a running or kept bottle. The agent has one when it was started with --detach. Decisions are not here but in bot-bottle audit show.",
  args: [{ name: "slug", summary: "bottle, or a beginning of its name", completes: "bottle" }],
  flags: [
    { name: "follow", short: "f", summary: "go on until the bottle ends" },
    {
      name: "part",
      value: "part",
      choices: PARTS,
      summary: "one part only, its lines as they are",
    },
    { name: "json", summary: "print each line as JSON: part, line" },
  ],
  examples: [
    {
      command: "bot-bottle logs claude-x1y2z --part agent",
      explanation: "what a detached agent printed",
    },
    { command: "bot-bottle logs claude-x1y2z --follow", explanation: "all parts, as they write" },
  ],
  run: runLogs,
};

async function runLogs({ args, flags }: ParsedArgs, io: CommandIo): Promise<number> {
  const { home } = io.env;
  const bottle = await findBottle(home, args[0] ?? "", {
    prefersActive: isSet(flags, "follow"),
  });
  const { logs } = bottlePaths(home, parseBottleId(bottle.slug), home.run);
  const part = PARTS.find((name) => name === flagText(flags, "part"));
  const options = isSet(flags, "follow") ? followOptions(home, bottle, io) : { signal: io.signal };
  const isRaw = part !== undefined && !isSet(flags, "json") && !isatty(1);
  const counts = isRaw
    ? [await copyRaw(join(logs, `${part}.log`), options, io)]
    : await Promise.all(
        (part === undefined ? PARTS : [part]).map((name) =>
          copyLines(
            join(logs, `${name}.log`),
            options,
            writerOf(name, part === undefined, flags, io),
          ),
        ),
      );
  if (part !== undefined && counts[0] === 0 && !isSet(flags, "follow")) {
    throw new UsageError("usage.path", `bottle ${bottle.slug} has no log of its ${part}`, {
      hint: `bot-bottle logs ${bottle.slug}`,
    });
  }
  return endedStatus(io.signal);
}

/** A log is over when its bottle is; a pause in between lets the last lines come. */
function followOptions(home: HomePaths, { slug }: ListedBottle, io: CommandIo): FollowOptions {
  const isOver = async (): Promise<boolean> => {
    if (io.output.isClosed()) return true;
    const now = (await listBottles(home)).find((bottle) => bottle.slug === slug);
    return now?.status !== "running" && now?.status !== "launching";
  };
  return { isOver, signal: io.signal };
}

/** Returns the number of bytes. */
async function copyRaw(
  file: string,
  options: FollowOptions,
  { output }: CommandIo,
): Promise<number> {
  let count = 0;
  for await (const chunk of followFile(file, options)) {
    count += chunk.length;
    output.bytes(chunk);
    if (output.isClosed()) break;
  }
  return count;
}

/** Returns the number of bytes. */
async function copyLines(
  file: string,
  options: FollowOptions,
  write: (line: string) => void,
): Promise<number> {
  let count = 0;
  const decoder = new StringDecoder("utf8");
  const splitter = new LineSplitter(write, MAX_LINE);
  for await (const chunk of followFile(file, options)) {
    count += chunk.length;
    splitter.push(decoder.write(chunk));
  }
  splitter.push(decoder.end());
  splitter.end();
  return count;
}

function writerOf(
  part: Part,
  isNamed: boolean,
  flags: ParsedArgs["flags"],
  { output }: CommandIo,
): (line: string) => void {
  if (isSet(flags, "json")) return (line) => output.json({ part, line });
  const prefix = isNamed ? `${part.padEnd(6)} | ` : "";
  return (line) => output.print(`${prefix}${cleanText(line)}`);
}
