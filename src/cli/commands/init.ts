/** `init`: writes a first bottle and agent for a provider, and says what comes next. */
import { UsageError } from "../../base/errors.ts";
import {
  commandPreset,
  isName,
  isVariable,
  PRESET_NAMES,
  type Preset,
  presetNamed,
  providerNamed,
} from "../../index.ts";
import { askLine, askYesNo, hasTerminal } from "../ask.ts";
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import { flagText, isSet } from "../flags/read.ts";
import { writePreset } from "../preset-files.ts";

/** Default program of `init command`: a shell, so that the bottle can be looked at. */
const DEFAULT_ARGV = ["sh"] as const;

/** The command `init`. */
export const initCommand: Command = {
  name: "init",
  summary: "write a first bottle and agent",
  description:
    "Write a bottle file and an agent file for Claude Code, Codex or any command. The bottle reaches the model and nothing else; add hosts by editing it. Existing files are never replaced without --force.",
  acceptsRest: true,
  isInterruptible: true,
  args: [{ name: "provider", summary: "what the agent is", choices: [...PRESET_NAMES, "command"] }],
  flags: [
    { name: "name", value: "name", summary: "name of both files (default: the provider's)" },
    { name: "token", value: "NAME", summary: "host variable that holds the credential" },
    { name: "yes", short: "y", summary: "ask nothing, take the defaults" },
    { name: "force", summary: "replace existing files" },
    { name: "json", summary: "print the files and the next command as JSON" },
  ],
  examples: [
    {
      command: "bot-bottle init claude --yes",
      explanation: "Claude Code with CLAUDE_CODE_OAUTH_TOKEN",
    },
    {
      command: 'bot-bottle init command --name tests --yes -- sh -c "make test"',
      explanation: "a program that reaches nothing",
    },
  ],
  run: runInit,
};

async function runInit(parsed: ParsedArgs, io: CommandIo): Promise<number> {
  const { flags } = parsed;
  const [provider = ""] = parsed.args;
  const name = flagText(flags, "name") ?? provider;
  if (!isName(name)) {
    throw new UsageError(
      "usage.invalid",
      `--name "${name}" is not a name; a lower-case letter, then letters, digits or hyphens are expected`,
      { hint: "for example --name tests" },
    );
  }
  const canAsk = !isSet(flags, "yes") && !isSet(flags, "json") && hasTerminal();
  const choices = { name, token: flagText(flags, "token"), argv: parsed.rest, canAsk };
  const { preset, variable } = await choosePreset(provider, choices, io);
  if (
    canAsk &&
    !(await askYesNo(`Write bottle and agent "${name}" to ${io.env.home.home}?`, io.signal))
  ) {
    io.output.note("nothing was written");
    return 0;
  }
  const files = await writePreset(io.env.home, preset, { isReplacing: isSet(flags, "force") });
  const next = nextCommands(name, provider, variable, io);
  if (isSet(flags, "json")) io.output.json({ ...files, next });
  else {
    io.output.print(`wrote ${files.bottle}\nwrote ${files.agent}`);
    io.output.print(["next:", ...next.map((line) => `  ${line}`)].join("\n"));
  }
  return 0;
}

interface Choices {
  readonly name: string;
  readonly token: string | undefined;
  readonly argv: readonly string[] | undefined;
  readonly canAsk: boolean;
}

/** The preset, and the host variable that it needs. */
interface Chosen {
  readonly preset: Preset;
  readonly variable: string | undefined;
}

async function choosePreset(provider: string, choices: Choices, io: CommandIo): Promise<Chosen> {
  const { name, token, argv } = choices;
  if (provider === "command") {
    if (token !== undefined)
      throw new UsageError(
        "usage.invalid",
        "--token is for a coding agent; a command has no credential",
      );
    return {
      preset: commandPreset(argv === undefined || argv.length === 0 ? DEFAULT_ARGV : argv, {
        name,
      }),
      variable: undefined,
    };
  }
  if (argv !== undefined) {
    throw new UsageError(
      "usage.invalid",
      `${provider} brings its own program; nothing is expected after "--"`,
      {
        hint: "use bot-bottle init command for another program",
      },
    );
  }
  const variable = await chooseVariable(provider, choices, io);
  const preset = presetNamed(provider, { name, tokenVariable: variable });
  if (preset !== undefined) return { preset, variable };
  throw new UsageError("usage.invalid", `there is no preset for "${provider}"`);
}

async function chooseVariable(
  provider: string,
  { token, canAsk }: Choices,
  io: CommandIo,
): Promise<string | undefined> {
  const usual = providerNamed(provider)?.defaultTokenVariable;
  const asked =
    token === undefined && canAsk
      ? await askLine(`Host variable that holds the credential [${usual}]: `, io.signal)
      : "";
  const variable = token ?? (asked.trim() === "" ? usual : asked.trim());
  if (variable === undefined || isVariable(variable)) return variable;
  // Not quoted: an operator may have pasted the credential itself.
  throw new UsageError(
    "usage.invalid",
    "that is not a variable's name; letters, digits and underscores are expected",
    {
      hint: "give the name of the variable, never the credential itself",
    },
  );
}

function nextCommands(
  name: string,
  provider: string,
  variable: string | undefined,
  { env }: CommandIo,
): readonly string[] {
  const isMissing = variable !== undefined && (env.all[variable] ?? "") === "";
  const start =
    provider === "command"
      ? `bot-bottle start ${name} --headless`
      : `bot-bottle start ${name} --cwd`;
  return [...(isMissing ? [`export ${variable}=…`] : []), start];
}
