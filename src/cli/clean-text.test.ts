import { describe, expect, it } from "vitest";
import { cleanLine, cleanText } from "./clean-text.ts";
import { renderColumns } from "./columns.ts";

describe("clean text", () => {
  it("escapes what drives a terminal or turns the writing", () => {
    expect(cleanText("\u001b[31mred\u009b0m\u0007 \u202egnp.exe")).toBe(
      "\\x1b[31mred\\x9b0m\\x07 \\u202egnp.exe",
    );
  });

  it("keeps newline and tab in text, but not in a line", () => {
    expect(cleanText("a\tb\nc é 日本")).toBe("a\tb\nc é 日本");
    expect(cleanLine("a\tb\nc")).toBe("a\\x09b\\x0ac");
  });
});

describe("columns", () => {
  it("aligns all but the last, which may be long", () => {
    const long = "x".repeat(90);
    expect(
      renderColumns([
        ["a", "bb", long],
        ["aaaa", "b", ""],
      ]),
    ).toEqual([`a     bb  ${long}`, "aaaa  b"]);
    expect(renderColumns([])).toEqual([]);
  });
});
