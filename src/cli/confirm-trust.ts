/**
 * Asks about a repository's agent that wants one of the operator's bottles. `--yes` is about starting: it does not answer this
 * question.
 */
import { askYesNo, hasTerminal } from "./ask.ts";
import { cleanLine } from "./clean-text.ts";
import type { CommandIo } from "./command.ts";

/** The question on the terminal, or undefined where nobody can be asked. */
export function confirmOnTerminal(
  io: CommandIo,
  options: { readonly isHeadless: boolean; readonly isYes: boolean },
): ((question: string) => Promise<boolean>) | undefined {
  if (options.isHeadless || !hasTerminal()) return undefined;
  return (question) => {
    if (options.isYes) io.output.note("--yes does not answer this:");
    return askYesNo(`${cleanLine(question)}?`, io.signal);
  };
}
