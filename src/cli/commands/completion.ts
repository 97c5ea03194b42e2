/** `completion`: prints a script for a shell, made from the declarations of all commands. */
import type { Command } from "../command.ts";
import { completedCommands } from "../completion-model.ts";
import { type RenderScript, renderBash, renderFish, renderZsh } from "../completion-scripts.ts";
import { loadCommands } from "../load-commands.ts";

const SCRIPTS: Readonly<Record<string, RenderScript>> = {
  bash: renderBash,
  zsh: renderZsh,
  fish: renderFish,
};

/** The command `completion`. */
export const completionCommand: Command = {
  name: "completion",
  summary: "print a shell's completion script",
  description: "Print a completion script. Agents and bottles are completed by name.",
  isInterruptible: true,
  args: [{ name: "shell", summary: "which shell", choices: Object.keys(SCRIPTS) }],
  flags: [],
  examples: [
    {
      command: "source <(bot-bottle completion bash)",
      explanation: "in ~/.bashrc; the same for zsh",
    },
    {
      command: "bot-bottle completion fish > ~/.config/fish/completions/bot-bottle.fish",
      explanation: "once",
    },
  ],
  run: async ({ args }, { output }) => {
    const render = SCRIPTS[args[0] ?? ""];
    if (render !== undefined)
      output.print(render(completedCommands(await loadCommands())).trimEnd());
    return 0;
  },
};
