/** The program: finds the command, parses, runs, ends through the one funnel. Loads only what the command needs. */
import { CancelledError, UsageError } from "../base/errors.ts";
import type { Command, CommandIo } from "./command.ts";
import { COMMANDS, type CommandEntry, HIDDEN_COMMANDS } from "./commands/table.ts";
import { readEnv } from "./env.ts";
import { type FailureOptions, reportFailure } from "./exit.ts";
import { nearest } from "./nearest.ts";
import { createOutput, type Output } from "./output.ts";
import { prepareNode } from "./prepare-node.ts";
import { isTerminal } from "./terminal.ts";
import { renderTopHelp } from "./top-help.ts";
import { VERSION } from "./version.ts";

/** Hooks that tests use; the process has none. */
export interface MainHooks {
  readonly onStep?: (step: string) => void | Promise<void>;
}

/** What a command line asks for. */
type Request =
  | { readonly kind: "version" }
  | { readonly kind: "help" }
  | { readonly kind: "command"; readonly name: string; readonly argv: readonly string[] };

/** Runs the command line to its end and returns the exit status. */
export async function runCli(argv: readonly string[], hooks: MainHooks = {}): Promise<number> {
  const output = openOutput();
  const request = readRequest(argv);
  if (request.kind === "version") return printed(output, VERSION);
  if (request.kind === "help") return printed(output, renderTopHelp(output.color));
  try {
    const command = await findCommand(request.name).load();
    return await runCommand(command, request.argv, { output, hooks });
  } catch (error) {
    return reportFailure(error, output, failureOptions(argv));
  }
}

function openOutput(): Output {
  const { env } = process;
  return createOutput(isTerminal(2) && env["NO_COLOR"] === undefined && env["TERM"] !== "dumb");
}

function readRequest(argv: readonly string[]): Request {
  const [name = "--help", ...rest] = argv;
  if (name === "--version" || name === "-V" || name === "version") return { kind: "version" };
  if (name === "--help" || name === "-h") return { kind: "help" };
  if (name !== "help") return { kind: "command", name, argv: rest };
  const [subject] = rest;
  return subject === undefined
    ? { kind: "help" }
    : { kind: "command", name: subject, argv: ["--help"] };
}

function printed(output: Output, text: string): number {
  output.print(text);
  return 0;
}

function entryNamed(name: string): CommandEntry | undefined {
  return [...COMMANDS, ...HIDDEN_COMMANDS].find((known) => known.name === name);
}

function findCommand(name: string): CommandEntry {
  const entry = entryNamed(name);
  if (entry !== undefined) return entry;
  if (name.startsWith("-")) {
    throw new UsageError(
      "usage.invalid",
      `"${name}" is not an option here; a command comes first`,
      {
        hint: "run bot-bottle --help",
      },
    );
  }
  const close = nearest(
    name,
    COMMANDS.map((known) => known.name),
  );
  const advice = close === undefined ? "" : `; did you mean ${close}`;
  throw new UsageError("usage.unknown-command", `"${name}" is not a command${advice}`, {
    hint: "run bot-bottle --help",
  });
}

/** How a failure of this command line is told; needs nothing loaded, because loading may be what failed. */
function failureOptions(argv: readonly string[]): FailureOptions {
  const request = readRequest(argv);
  const own = request.kind === "command" ? request.argv : [];
  const end = own.indexOf("--");
  return {
    isJson: own.slice(0, end === -1 ? own.length : end).includes("--json"),
    passesStatus: request.kind === "command" && entryNamed(request.name)?.passesStatus === true,
    isDebug: (process.env["BOT_BOTTLE_DEBUG"] ?? "") !== "",
  };
}

interface RunContext {
  readonly output: Output;
  readonly hooks: MainHooks;
}

async function runCommand(
  command: Command,
  argv: readonly string[],
  { output, hooks }: RunContext,
): Promise<number> {
  const { parseArgs } = await import("./parse-args.ts");
  const parsed = parseArgs(command, argv, output);
  if (parsed.kind === "help") return printed(output, parsed.text);
  const cancel = new AbortController();
  const stopListening = listenForSignals(cancel);
  const io: CommandIo = {
    env: readEnv(process.env, isTerminal(2)),
    output: output.quiet(parsed.args.flags["quiet"] === true),
    signal: cancel.signal,
    ...(hooks.onStep === undefined ? {} : { onStep: hooks.onStep }),
  };
  try {
    const running = command.run(parsed.args, io);
    return await (command.isInterruptible === true
      ? untilAborted(running, cancel.signal)
      : running);
  } finally {
    stopListening();
  }
}

/** The work's result, or the signal's reason as soon as there is one: what is left of the work ends with the process. */
function untilAborted(work: Promise<number>, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    work.then(resolve, reject);
  });
}

function listenForSignals(cancel: AbortController): () => void {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const onSignal = (signal: NodeJS.Signals): void => {
    cancel.abort(new CancelledError(`stopped by ${signal}`, { signal }));
  };
  for (const signal of signals) process.on(signal, onSignal);
  return () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
}

/** What nobody caught ends the process through the funnel as well; the kill set then runs at its exit. */
function catchTheUncaught(argv: readonly string[]): void {
  const onUncaught = (error: unknown): void => {
    process.exit(reportFailure(error, openOutput(), failureOptions(argv)));
  };
  process.on("uncaughtException", onUncaught);
  process.on("unhandledRejection", onUncaught);
}

/** Runs this process's command line and ends it. */
export async function runMain(): Promise<never> {
  const argv = process.argv.slice(2);
  catchTheUncaught(argv);
  // What a command left open, such as a half-read stdin, must not keep the process; all output is written by now.
  process.exit(await runCli(argv));
}

// From the sources; what is built begins in entry.ts.
if (import.meta.main === true) {
  prepareNode();
  await runMain();
}
