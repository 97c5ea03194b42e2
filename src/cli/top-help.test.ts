import { describe, expect, it } from "vitest";
import { COMMANDS, HIDDEN_COMMANDS } from "./commands/table.ts";
import { createPalette } from "./output.ts";
import { renderTopHelp } from "./top-help.ts";

describe("top help", () => {
  const help = renderTopHelp(createPalette(false));

  it("names every command with its summary, and no hidden one", () => {
    for (const { name, summary } of COMMANDS) {
      expect(help).toMatch(new RegExp(`^  ${name} +${summary.replace(/[.?*+()]/g, "\\$&")}$`, "m"));
    }
    for (const { name } of HIDDEN_COMMANDS) expect(help).not.toContain(name);
  });

  it("fits a terminal of 100 columns and holds no escape without colour", () => {
    for (const line of help.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
    expect(help).not.toContain("\u001b");
    expect(renderTopHelp(createPalette(true))).toContain("\u001b[1mbot-bottle\u001b[22m");
  });
});
