/** docs/cli.md, made from the declarations of the commands. */
import { EXIT_OWN_FAILURE, EXIT_STATUS } from "../base/error-codes.ts";
import type { Command } from "./command.ts";
import { loadCommands } from "./load-commands.ts";
import { createOutput } from "./output.ts";
import { renderCommandHelp } from "./parse-args.ts";

/** The reference page of all commands. */
export async function renderCliPage(): Promise<string> {
  const commands = await loadCommands();
  const plain = createOutput(false);
  const sections = commands.map((command) =>
    [
      `## ${command.name}`,
      "",
      `${capital(command.summary)}.`,
      "",
      "```text",
      renderCommandHelp(command, plain),
      "```",
      ...(command.passesStatus === true ? ["", PASSES_STATUS] : []),
      "",
    ].join("\n"),
  );
  return `${HEAD}${tableOfContents(commands)}\n${sections.join("\n")}
${statusTable()}`;
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function tableOfContents(commands: readonly Command[]): string {
  const rows = commands.map(({ name, summary }) => `| [\`${name}\`](#${name}) | ${summary} |`);
  return ["| command | what it does |", "|---|---|", ...rows, ""].join("\n");
}

function statusTable(): string {
  const rows = Object.entries(EXIT_STATUS)
    .filter(([kind]) => kind !== "cancelled")
    .map(([kind, status]) => `| ${status} | ${kind} |`);
  return `## Exit status

Commands that run a program in a bottle (\`start\`, \`exec\`, \`demo\`) end with the program's status: 126 when it cannot be executed,
127 when it is not found, 128 + the signal's number when a signal ended it, and ${EXIT_OWN_FAILURE} for every failure of bot-bottle itself. A
command that is stopped by a signal ends with 128 + its number. The other commands end with 0, or by the class of the error:

| status | class |
|---|---|
${rows.join("\n")}
`;
}

const PASSES_STATUS = `The program's exit status is the exit status; failures of bot-bottle itself end with ${EXIT_OWN_FAILURE}.`;

const HEAD = `<!-- Made by scripts/generate.ts from the declarations in src/cli/commands/; do not edit. -->
# Commands

Results go to stdout, notes and questions to stderr. With \`--json\` a result is one line of JSON, and so is a failure:
\`{"error": {"code", "message", "hint", "details", "status", "by": "bot-bottle"}}\`. Names of bottles may be shortened to a beginning that
only one of them has. Files are under \`~/.bot-bottle\`, or where \`BOT_BOTTLE_HOME\` says.

`;
