// What each command says of a line that does not fit it: in our words, and with what to type instead.
import { describe, expect, it } from "vitest";
import { UsageError } from "../base/errors.ts";
import type { Command } from "./command.ts";
import { loadCommands } from "./load-commands.ts";
import { createOutput } from "./output.ts";
import { parseArgs } from "./parse-args.ts";

const commands = await loadCommands();

function refusal(command: Command, ...argv: string[]): { message: string; hint: string } {
  try {
    parseArgs(command, argv, createOutput(false));
  } catch (error) {
    if (error instanceof UsageError) return { message: error.message, hint: error.hint ?? "" };
    throw error;
  }
  throw new Error(`${command.name} took ${argv.join(" ")}`);
}

describe.each(commands.map((command) => [command.name, command] as const))(
  "%s",
  (name, command) => {
    const required = command.args.filter((it) => it.isOptional !== true);
    const given = command.args.map((it) => it.choices?.[0] ?? "x");
    const isOpen = command.args.some((it) => it.isVariadic === true);

    it("refuses an unknown flag", () => {
      const { message, hint } = refusal(command, ...given, "--no-such-flag");
      expect(message).toContain("--no-such-flag");
      expect(hint).toContain(`bot-bottle ${name}`);
    });

    if (required.length > 0)
      it("says what an argument that is missing is", () => {
        const { message, hint } = refusal(command);
        expect(message).toContain(`${name} needs an argument: <${required[0]?.name}>, `);
        expect(hint).toMatch(/^for example .*bot-bottle /);
      });

    if (!isOpen)
      it("counts arguments that are too many", () => {
        const { message, hint } = refusal(command, ...given, "more");
        expect(message).toBe(
          `${name} has too many arguments: ${given.length + 1}; at most ${given.length} expected`,
        );
        expect(hint).toContain(`bot-bottle ${name}`);
      });

    it("names the choices where a value is none", () => {
      const wrong = command.args.map((it) => (it.choices === undefined ? "x" : "nothing-known"));
      if (command.args.some((it) => it.choices !== undefined)) {
        const { message } = refusal(command, ...wrong);
        expect(message).toMatch(/^\w+ "nothing-known" is unknown; one of .* is expected/);
      }
      for (const flag of command.flags.filter((it) => it.choices !== undefined)) {
        const { message } = refusal(command, ...given, `--${flag.name}`, "nothing-known");
        expect(message).toContain(`--${flag.name} "nothing-known" is unknown; one of `);
      }
    });

    it("says what the value of a flag is", () => {
      for (const flag of command.flags.filter((it) => it.value !== undefined))
        expect(refusal(command, ...given, `--${flag.name}`).message).toBe(
          `--${flag.name} has no value; <${flag.value}> is expected`,
        );
    });
  },
);
