/** Words for a command line that does not fit its command: what was seen, what is expected, and what to type instead. Pure. */
import type { CommanderError } from "commander";
import { UsageError } from "../base/errors.ts";
import type { Command } from "./command.ts";
import { nearest } from "./nearest.ts";

/** The error for what commander found. */
export function explainParse(
  error: CommanderError,
  command: Command,
  own: readonly string[],
): UsageError {
  const said = error.message.replace(/^error: /, "").replace(/\.$/, "");
  const message =
    explainChoice(said) ?? explainMissing(error, said, command) ?? explainOther(said, command);
  const hint = hintFor(error, command, own);
  return new UsageError("usage.invalid", message, { hint, cause: error });
}

/** Where everything about a command is told. */
export function helpHint(command: Command): string {
  return `run bot-bottle ${command.name} --help`;
}

function explainChoice(said: string): string | undefined {
  const found =
    /^option '(?:-\w, )?(?<name>--[\w-]+).*?' argument '(?<value>[^]*)' is invalid\. Allowed choices are (?<choices>.*)$/.exec(
      said,
    ) ??
    /^command-argument value '(?<value>[^]*)' is invalid for argument '(?<name>.*)'\. Allowed choices are (?<choices>.*)$/.exec(
      said,
    );
  if (found?.groups === undefined) return undefined;
  const { name = "", value = "", choices = "" } = found.groups;
  const close = nearest(value, choices.split(", "));
  const advice = close === undefined ? "" : `; did you mean ${close}`;
  return `${name} "${value}" is unknown; one of ${choices} is expected${advice}`;
}

function explainMissing(
  { code }: CommanderError,
  said: string,
  { name, args }: Command,
): string | undefined {
  if (code !== "commander.missingArgument") return undefined;
  const wanted = /'(.*)'/.exec(said)?.[1];
  const spec = args.find((it) => it.name === wanted);
  const what = spec?.choices === undefined ? spec?.summary : `one of ${spec.choices.join(", ")}`;
  return `${name} needs an argument: <${wanted}>, ${what}`;
}

function explainOther(said: string, { name }: Command): string {
  const excess = /^too many arguments\. Expected (\d+) arguments? but got (\d+)/.exec(said);
  const [, expected = "", got = ""] = excess ?? [];
  if (excess !== null)
    return `${name} has too many arguments: ${got}; at most ${expected} expected`;
  return said
    .replace(
      /^option '(?:-\w, )?(--[\w-]+) <(.*)>' argument missing$/,
      "$1 has no value; <$2> is expected",
    )
    .replace(/\n\(Did you mean (.*)\?\)/, "; did you mean $1");
}

/** A program that was given without "--" is the likeliest excess; what is missing shows best in an example. */
function hintFor({ code }: CommanderError, command: Command, own: readonly string[]): string {
  const [example] = command.examples;
  if (code === "commander.missingArgument" && example !== undefined)
    return `for example ${example.command}; see bot-bottle ${command.name} --help`;
  const isExcess = code === "commander.excessArguments" || code === "commander.unknownOption";
  const [first, second] = own;
  const isPlain = first?.startsWith("-") === false && second?.startsWith("-") === false;
  if (!isExcess || command.acceptsRest !== true || !isPlain) return helpHint(command);
  return `put "--" before the program: bot-bottle ${command.name} ${first} -- ${second} …`;
}
