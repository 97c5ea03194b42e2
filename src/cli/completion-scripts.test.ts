import { describe, expect, it } from "vitest";
import type { Command } from "./command.ts";
import { completedCommands, type Values } from "./completion-model.ts";
import { renderBash, renderFish, renderZsh } from "./completion-scripts.ts";
import { loadCommands } from "./load-commands.ts";

const command: Command = {
  name: "look",
  summary: "look at an agent's work: [all] of it",
  args: [{ name: "slug", summary: "which", completes: "bottle", isVariadic: true }],
  flags: [
    { name: "part", short: "p", value: "part", choices: ["agent", "owner"], summary: "one part" },
    { name: "events", value: "file", completes: "file", summary: "where to" },
  ],
  examples: [],
  run: () => Promise.resolve(0),
};
const commands = completedCommands([command]);

describe("completion scripts", () => {
  it("of bash name flags, choices and what is asked for", () => {
    const script = renderBash(commands);
    expect(script).toContain(
      "look) flags='--part -p --events --help -h' valued='--part -p --events' ;;",
    );
    expect(script).toContain("'look --part' | 'look -p') words='agent owner' ;;");
    expect(script).toContain("'look '*) words=$(bot-bottle __complete bottle 2>/dev/null) ;;");
  });

  it("of zsh escape what is syntax in a specification", () => {
    const script = renderZsh(commands);
    expect(script).toContain("'look:look at an agent'\\''s work: [all] of it'");
    expect(script).toContain("'--part[one part]:part:(agent owner)'");
    expect(script).toContain("'*:slug:_bot_bottle_names bottle'");
    expect(script).toContain("'--events[where to]:events:_files'");
  });

  it("of fish quote for fish", () => {
    const script = renderFish(commands);
    expect(script).toContain("-a look -d 'look at an agent\\'s work: [all] of it'");
    expect(script).toContain("-l part -s p -x -a 'agent owner' -d 'one part'");
    expect(script).toContain("-a '(bot-bottle __complete bottle 2>/dev/null)'");
  });

  it("know every command, flag, choice and kind of name", async () => {
    const model = completedCommands(await loadCommands());
    const scripts = { bash: renderBash(model), zsh: renderZsh(model), fish: renderFish(model) };
    for (const { name, flags, args } of model) {
      for (const [shell, script] of Object.entries(scripts)) {
        expect(script).toContain(name);
        for (const flag of flags)
          expect([shell, script]).toEqual([
            shell,
            expect.stringContaining(shell === "fish" ? `-l ${flag.name}` : `--${flag.name}`),
          ]);
        for (const { values } of [...args, ...flags.flatMap(({ value }) => value ?? [])].map(
          asValues,
        )) {
          if (values.kind === "words") expect(script).toContain(values.words.join(" "));
          if (values.kind === "names")
            expect(script).toMatch(new RegExp(`(?:__complete|_names) ${values.of}\\b`));
        }
      }
    }
    expect(scripts.bash).toMatch(/'help 0'\) words='start exec /);
  });
});

function asValues(from: Values | { readonly values: Values }): { readonly values: Values } {
  return "values" in from ? from : { values: from };
}
