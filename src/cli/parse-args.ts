/** Parses a command's arguments from its declaration, through commander. */
import { Argument, CommanderError, Option, Command as Parser } from "commander";
import { UsageError } from "../base/errors.ts";
import type { Command, FlagSpec, ParsedArgs } from "./command.ts";
import { explainParse, helpHint } from "./explain-parse.ts";
import type { Output } from "./output.ts";

export type ParseResult =
  | { readonly kind: "args"; readonly args: ParsedArgs }
  | { readonly kind: "help"; readonly text: string };

/** Parses argv. What follows the first `--` is kept apart untouched. Throws UsageError. */
export function parseArgs(command: Command, argv: readonly string[], output: Output): ParseResult {
  const end = argv.indexOf("--");
  const own = end === -1 ? argv : argv.slice(0, end);
  const rest = end === -1 ? undefined : argv.slice(end + 1);
  if (rest !== undefined && command.acceptsRest !== true) {
    throw new UsageError("usage.invalid", `${command.name} takes nothing after "--"`, {
      hint: helpHint(command),
    });
  }
  const parser = createParser(command);
  if (own.includes("--help") || own.includes("-h"))
    return { kind: "help", text: renderHelp(command, parser, output) };
  try {
    parser.parse([...own], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw explainParse(error, command, own);
  }
  return { kind: "args", args: { flags: flagValues(command, parser), args: parser.args, rest } };
}

/** Columns of help that goes into a page. */
const PAGE_WIDTH = 80;

function createParser(command: Command, width?: number): Parser {
  const parser = new Parser(`bot-bottle ${command.name}`);
  parser.exitOverride().configureOutput({
    writeOut: () => undefined,
    writeErr: () => undefined,
    ...(width === undefined ? {} : { getOutHelpWidth: () => width }),
  });
  parser
    .helpOption("-h, --help", "show this help")
    .description(command.description ?? command.summary);
  for (const flag of command.flags) parser.addOption(createOption(flag));
  for (const arg of command.args) {
    const text = `${arg.name}${arg.isVariadic === true ? "..." : ""}`;
    const argument = new Argument(arg.isOptional === true ? `[${text}]` : `<${text}>`, arg.summary);
    if (arg.choices !== undefined) argument.choices([...arg.choices]);
    parser.addArgument(argument);
  }
  if (command.acceptsRest === true) parser.usage(`${parser.usage()} [-- argv...]`);
  return parser.allowExcessArguments(false);
}

function createOption(flag: FlagSpec): Option {
  const short = flag.short === undefined ? "" : `-${flag.short}, `;
  const value = flag.value === undefined ? "" : ` <${flag.value}>`;
  const option = new Option(`${short}--${flag.name}${value}`, flag.summary);
  if (flag.choices !== undefined) option.choices([...flag.choices]);
  if (flag.isRepeatable === true)
    option.argParser<readonly string[] | undefined>((next, all) => [...(all ?? []), next]);
  return option;
}

function flagValues(command: Command, parser: Parser): ParsedArgs["flags"] {
  const values: Record<string, unknown> = parser.opts();
  return Object.fromEntries(
    command.flags.map((flag) => [flag.name, flagValue(values[camelCase(flag.name)])]),
  );
}

function flagValue(value: unknown): string | boolean | readonly string[] | undefined {
  if (Array.isArray(value)) return value.map(String);
  return typeof value === "string" || typeof value === "boolean" ? value : undefined;
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The text of `bot-bottle <command> --help`, whatever terminal this is. */
export function renderCommandHelp(command: Command, output: Output): string {
  return renderHelp(command, createParser(command, PAGE_WIDTH), output);
}

function renderHelp(command: Command, parser: Parser, output: Output): string {
  const examples = command.examples.map(
    ({ command: line, explanation }) => `  ${line}\n      ${output.color.dim(explanation)}`,
  );
  const help = parser.helpInformation().trimEnd();
  return examples.length === 0 ? help : `${help}\n\nExamples:\n${examples.join("\n")}`;
}
