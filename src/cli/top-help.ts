/** The text of `bot-bottle --help`. */
import { COMMANDS } from "./commands/table.ts";
import type { Palette } from "./output.ts";

export function renderTopHelp(color: Palette): string {
  const width = Math.max(...COMMANDS.map((command) => command.name.length));
  const rows = COMMANDS.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`);
  return [
    `${color.bold("bot-bottle")} runs any coding agent as if it were compromised, and loses nothing when it is.`,
    "",
    "usage: bot-bottle <command> [options]",
    "",
    ...rows,
    "",
    "examples:",
    "  bot-bottle demo                          see a bottle at work, without account or internet",
    "  bot-bottle init claude --yes             write a first bottle and agent for Claude Code",
    "  bot-bottle start claude --cwd            start it on a copy of this directory",
    '  bot-bottle start claude --headless --prompt "fix the tests"',
    "",
    "Run bot-bottle <command> --help for flags and examples.",
    "Files are under ~/.bot-bottle, or where BOT_BOTTLE_HOME says.",
  ].join("\n");
}
