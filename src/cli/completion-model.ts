/** What completion has to know of the commands, taken from their declarations. */
import type { Command, Completion, FlagSpec } from "./command.ts";

/** One command for a completion script. */
export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly CompletedFlag[];
  readonly args: readonly CompletedArgument[];
}

/** One flag; `--help` is among them. */
export interface CompletedFlag {
  readonly name: string;
  readonly short: string | undefined;
  readonly summary: string;
  readonly isRepeatable: boolean;
  /** Undefined: a switch. */
  readonly value: Values | undefined;
}

/** One positional argument. */
export interface CompletedArgument {
  readonly name: string;
  readonly isVariadic: boolean;
  readonly values: Values;
}

/** What may stand there: fixed words, names asked for at the key press, or files. */
export type Values =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "names"; readonly of: Exclude<Completion, "file"> }
  | { readonly kind: "files" }
  | { readonly kind: "text" };

/** Makes the model; `help`, which has no declaration of its own, is the last. */
export function completedCommands(commands: readonly Command[]): readonly CompletedCommand[] {
  const words = commands.map((command) => command.name);
  return [...commands.map(completedCommand), { ...HELP_COMMAND, args: [helpArgument(words)] }];
}

const HELP_COMMAND = { name: "help", summary: "show the help of a command", flags: [] } as const;

const helpArgument = (words: readonly string[]): CompletedArgument => ({
  name: "command",
  isVariadic: false,
  values: { kind: "words", words },
});

function completedCommand(command: Command): CompletedCommand {
  return {
    name: command.name,
    summary: command.summary,
    flags: [...command.flags.map(completedFlag), HELP],
    args: command.args.map((arg) => ({
      name: arg.name,
      isVariadic: arg.isVariadic === true,
      values: valuesOf(arg),
    })),
  };
}

const HELP: CompletedFlag = {
  name: "help",
  short: "h",
  summary: "show this help",
  isRepeatable: false,
  value: undefined,
};

function completedFlag(flag: FlagSpec): CompletedFlag {
  return {
    name: flag.name,
    short: flag.short,
    summary: flag.summary,
    isRepeatable: flag.isRepeatable === true,
    value: flag.value === undefined ? undefined : valuesOf(flag),
  };
}

function valuesOf({ choices, completes }: Pick<FlagSpec, "choices" | "completes">): Values {
  if (choices !== undefined) return { kind: "words", words: choices };
  if (completes === undefined) return { kind: "text" };
  return completes === "file" ? { kind: "files" } : { kind: "names", of: completes };
}
