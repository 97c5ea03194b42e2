/** `exec`: runs one more program in a running bottle, on our pipes. */
import { isatty } from "node:tty";
import { LaunchError, UsageError } from "../../base/errors.ts";
import type { BottleConnection, Session } from "../../index.ts";
import { quoteShell } from "../../process/quote-shell.ts";
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import { connectTo } from "../connection.ts";
import { notExecutableHint, notExecutableStatus, notExecutableText, statusOf } from "../exit.ts";
import { flagList, flagText, isSet } from "../flags/read.ts";
import { pipeSession } from "../pipe-session.ts";

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*=/;

/** The command `exec`. */
export const execCommand: Command = {
  name: "exec",
  summary: "run a program in a running bottle",
  description:
    "Run a program beside the agent, with the bottle's environment and limits. Its exit status is the exit status; 127 when it is not found, 126 when it cannot be executed, 125 for failures of bot-bottle itself.",
  passesStatus: true,
  acceptsRest: true,
  args: [{ name: "slug", summary: "bottle, or a beginning of its name", completes: "bottle" }],
  flags: [
    { name: "cwd", value: "path", summary: "directory in the guest (default: the agent's)" },
    {
      name: "env",
      short: "e",
      value: "NAME=VALUE",
      isRepeatable: true,
      summary: "variable for this program",
    },
    {
      name: "no-stdin",
      short: "n",
      summary: "give it no input; needed in loops and in the background",
    },
  ],
  examples: [
    {
      command: "bot-bottle exec claude-x1y2z -- git status",
      explanation: "look at the agent's work",
    },
    {
      command:
        "bot-bottle exec claude-x1y2z --cwd /home/node/workspace -- sh -c 'tar c .' > work.tar",
      explanation: "bytes pass through untouched",
    },
  ],
  run: runExec,
};

async function runExec(parsed: ParsedArgs, io: CommandIo): Promise<number> {
  const [slug = ""] = parsed.args;
  const argv = parsed.rest ?? [];
  if (argv.length === 0 || argv[0] === "") {
    throw new UsageError(
      "usage.invalid",
      'exec has nothing to run; "--" and a program are expected',
      {
        hint: `bot-bottle exec ${slug} -- ls`,
      },
    );
  }
  const env = parseVariables(flagList(parsed.flags, "env"));
  await using connection = await connectTo(slug, io);
  const session = await startProgram(connection, argv, {
    env,
    slug,
    ...withCwd(flagText(parsed.flags, "cwd")),
  });
  if (typeof session === "number") {
    io.output.error(notExecutableText(argv[0] ?? "", session));
    io.output.error(notExecutableHint(argv[0] ?? "", session, `bot-bottle exec ${slug}`));
    return session;
  }
  sayNoTerminal(argv, parsed, io);
  return statusOf(await pipeSession(session, { hasStdin: !isSet(parsed.flags, "no-stdin") }));
}

/** Programs that talk to a person when they are given nothing to do. */
const TALKING = /^(?:.*\/)?(?:sh|bash|dash|ash|zsh|fish|python3?|node)$/;

function sayNoTerminal(
  argv: readonly string[],
  { flags }: ParsedArgs,
  { output }: CommandIo,
): void {
  const isWaiting = TALKING.test(argv[0] ?? "") && argv.slice(1).every((it) => /^-[il]+$/.test(it));
  if (!isWaiting || isSet(flags, "no-stdin") || !isatty(0)) return;
  output.note(
    "bot-bottle: exec gives no terminal, so there is no prompt; end the input with Ctrl-D",
  );
}

function withCwd(cwd: string | undefined): { readonly cwd?: string } {
  return cwd === undefined ? {} : { cwd };
}

function parseVariables(list: readonly string[]): Record<string, string> {
  const wrong = list.find((text) => !VARIABLE.test(text));
  if (wrong !== undefined) {
    // The text may be a secret that was put in the wrong place.
    throw new UsageError("usage.invalid", "--env is no assignment; NAME=VALUE is expected", {
      hint: "for example --env CI=1; repeat --env for each variable",
    });
  }
  return Object.fromEntries(
    list.map((text) => [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)]),
  );
}

type ProgramOptions = NonNullable<Parameters<BottleConnection["exec"]>[1]> & {
  readonly slug: string;
};

/** What the guest refuses, with a way to look at it. */
function advised(error: unknown, slug: string, { cwd }: Omit<ProgramOptions, "slug">): unknown {
  if (!(error instanceof LaunchError) || error.hint !== undefined) return error;
  if (error.code !== "launch.agent") return error;
  const place = cwd === undefined ? "/home/node" : quoteShell(cwd);
  const hint = `see what is there: bot-bottle exec ${slug} --cwd / -- ls -ld ${place}`;
  return new LaunchError(error.code, error.message, { hint, details: error.details, cause: error });
}

/** The session, or the status of a program that cannot be executed. */
async function startProgram(
  connection: BottleConnection,
  argv: readonly string[],
  { slug, ...options }: ProgramOptions,
): Promise<Session | number> {
  try {
    return await connection.exec(argv, options);
  } catch (error) {
    const status = notExecutableStatus(error);
    if (status === undefined) throw advised(error, slug, options);
    return status;
  }
}
