/** Reads what a build, load or import says while it runs: one JSON value a line, an error among them being the engine's refusal. */
import type { Readable } from "node:stream";
import { LaunchError, messageOf } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { engineRefusal } from "./failure.ts";
import { progressSchema } from "./schemas.ts";

/** Longest single line; a build step that prints more without a newline is cut by the engine long before. */
const MAX_LINE_CHARS: number = 1024 * 1024;
/** Lines of output that are put into the error of a failed build. */
const TAIL_LINES = 20;

/** What the engine said last. */
export interface ProgressResult {
  /** Id of what was built, when it said one. */
  readonly id: string | undefined;
  /** All `stream` and `status` lines, the last {@link TAIL_LINES} of them. */
  readonly tail: readonly string[];
}

/** Reads to the end. Throws LaunchError with the engine's words when a step failed. */
export async function readProgress(
  what: string,
  answer: Readable,
  onLine: (line: string) => void,
): Promise<ProgressResult> {
  const tail: string[] = [];
  let id: string | undefined;
  const say = (text: string): void => {
    for (const line of text.split("\n").map((it) => it.trimEnd())) {
      if (line === "") continue;
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      onLine(line);
    }
  };
  for await (const line of lines(what, answer)) {
    const said = parseLine(what, line);
    if (said.error !== undefined) throw failedStep(what, said.error, tail);
    id = said.aux?.ID ?? id;
    say(said.stream ?? said.status ?? "");
  }
  return { id, tail };
}

async function* lines(what: string, answer: Readable): AsyncGenerator<string> {
  let rest = "";
  answer.setEncoding("utf8");
  for await (const chunk of answer) {
    const parts = (rest + String(chunk)).split("\n");
    rest = parts.pop() ?? "";
    if (rest.length > MAX_LINE_CHARS)
      throw unreadable(what, `a line is over ${MAX_LINE_CHARS} characters`);
    for (const part of parts) if (part.trim() !== "") yield part;
  }
  if (rest.trim() !== "") yield rest;
}

function parseLine(what: string, line: string): ReturnType<typeof progressSchema.parse> {
  try {
    return progressSchema.parse(parseJson(line));
  } catch (error) {
    throw unreadable(what, messageOf(error), error);
  }
}

function failedStep(what: string, said: string, tail: readonly string[]): Error {
  const output = tail.length === 0 ? "" : `; before that:\n${tail.join("\n")}`;
  return engineRefusal(what, undefined, `${said}${output}`);
}

function unreadable(what: string, why: string, cause?: unknown): LaunchError {
  const message = `${what} failed: the container engine's answer was not understood: ${why}`;
  return new LaunchError("launch.backend", message, { cause });
}
