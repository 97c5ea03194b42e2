// Pins what users and scripts see of the CLI: every help text, the names of the flags, and the exit statuses.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ERROR_CODES, EXIT_OWN_FAILURE, EXIT_STATUS } from "../../src/base/error-codes.ts";
import { COMMANDS, HIDDEN_COMMANDS } from "../../src/cli/commands/table.ts";
import { createOutput, createPalette } from "../../src/cli/output.ts";
import { renderCommandHelp } from "../../src/cli/parse-args.ts";
import { renderTopHelp } from "../../src/cli/top-help.ts";
import { VERSION } from "../../src/cli/version.ts";

const root = join(import.meta.dirname, "../..");
const snapshot = (name: string): string => join(import.meta.dirname, "cli-help", `${name}.txt`);

describe("help", () => {
  it("of the program", async () => {
    await expect(`${renderTopHelp(createPalette(false))}\n`).toMatchFileSnapshot(
      snapshot("bot-bottle"),
    );
  });

  it.each(COMMANDS.map((entry) => entry.name))("of %s", async (name) => {
    const command = await COMMANDS.find((entry) => entry.name === name)?.load();
    if (command === undefined) throw new Error(`${name} is gone`);
    const help = renderCommandHelp(command, createOutput(false));
    await expect(`${help}\n`).toMatchFileSnapshot(snapshot(name));
  });
});

describe("declarations", () => {
  it.each([...COMMANDS, ...HIDDEN_COMMANDS])("$name is what the table says", async (entry) => {
    const command = await entry.load();
    expect(command.name).toBe(entry.name);
    expect(command.summary).toBe(entry.summary);
    expect(command.passesStatus === true).toBe(entry.passesStatus === true);
  });

  it.each(COMMANDS)("$name has two examples or more that begin as they must", async (entry) => {
    const { examples } = await entry.load();
    expect(examples.length).toBeGreaterThanOrEqual(2);
    for (const { command } of examples) expect(command).toContain(`bot-bottle ${entry.name}`);
  });

  it("say --json wherever there is a result", async () => {
    const without: string[] = [];
    for (const entry of COMMANDS) {
      const { flags } = await entry.load();
      if (!flags.some((flag) => flag.name === "json")) without.push(entry.name);
    }
    // A program's own bytes, and a script for a shell.
    expect(without).toEqual(["exec", "completion"]);
  });
});

describe("numbers that scripts rely on", () => {
  it("exit statuses", () => {
    expect(EXIT_OWN_FAILURE).toBe(125);
    expect(EXIT_STATUS).toEqual({
      usage: 64,
      host: 69,
      bug: 70,
      launch: 71,
      sidecar: 72,
      timeout: 75,
      protocol: 76,
      denied: 77,
      manifest: 78,
      cancelled: 130,
    });
    const kinds = new Set(Object.values(ERROR_CODES).map((info) => info.kind));
    expect(Object.keys(EXIT_STATUS)).toEqual(expect.arrayContaining([...kinds]));
  });

  it("the commands whose program's status passes through", () => {
    const passing = COMMANDS.filter((entry) => entry.passesStatus === true);
    expect(passing.map((entry) => entry.name)).toEqual(["start", "exec", "demo"]);
  });

  it("the version is the package's", () => {
    const text = readFileSync(join(root, "package.json"), "utf8");
    expect(JSON.parse(text)).toMatchObject({ version: VERSION });
  });
});
