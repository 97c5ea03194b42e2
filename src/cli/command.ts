/** What a command is: a declaration with its run function. Help, parsing and completion come from the declaration. */
import type { CliEnv } from "./env.ts";
import type { Output } from "./output.ts";

/** One flag. `value` is the placeholder shown in help; without it the flag is a switch. */
export interface FlagSpec {
  readonly name: string;
  readonly short?: string;
  readonly value?: string;
  readonly isRepeatable?: boolean;
  readonly summary: string;
  /** The only values allowed. */
  readonly choices?: readonly string[];
  /** What completion offers for the value. */
  readonly completes?: Completion;
}

/** Names that completion looks up: `subject` is an agent or a bottle, `bottle-file` a file under home. */
export type Completion = "agent" | "bottle" | "subject" | "bottle-file" | "audit" | "file";

/** One positional argument. */
export interface ArgumentSpec {
  readonly name: string;
  readonly summary: string;
  readonly isOptional?: boolean;
  readonly isVariadic?: boolean;
  readonly choices?: readonly string[];
  /** What completion offers. */
  readonly completes?: Completion;
}

/** One line that works as it stands, and what it does. */
export interface ExampleSpec {
  readonly command: string;
  readonly explanation: string;
}

/** Parsed command line: flags by name, arguments in order, and what followed `--`. */
export interface ParsedArgs {
  readonly flags: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  readonly args: readonly string[];
  /** Undefined when there was no `--`. */
  readonly rest: readonly string[] | undefined;
}

/** What a command may use of the world. */
export interface CommandIo {
  readonly env: CliEnv;
  readonly output: Output;
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP, with a CancelledError that names it. */
  readonly signal: AbortSignal;
  /** Hooks for tests that stop a launch at a step. */
  readonly onStep?: (step: string) => void | Promise<void>;
}

/** One command: everything that help, parsing and completion need, and what it does. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly description?: string;
  readonly args: readonly ArgumentSpec[];
  readonly flags: readonly FlagSpec[];
  readonly examples: readonly ExampleSpec[];
  /** The agent's status passes through; failures of ours end with 125. */
  readonly passesStatus?: boolean;
  /** Accepts `-- argv…`. */
  readonly acceptsRest?: boolean;
  /** A signal may end it at any point: it owns nothing that must be closed. Others watch `io.signal` themselves. */
  readonly isInterruptible?: boolean;
  /** Returns the exit status. */
  run(parsed: ParsedArgs, io: CommandIo): Promise<number>;
}
