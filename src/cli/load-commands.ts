/** Loads every command that people see, in the order of the help. */
import type { Command } from "./command.ts";
import { COMMANDS } from "./commands/table.ts";

/** All declarations. */
export function loadCommands(): Promise<readonly Command[]> {
  return Promise.all(COMMANDS.map((entry) => entry.load()));
}
