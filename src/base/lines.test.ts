import { describe, expect, it } from "vitest";
import { LineSplitter, MAX_LINE_LENGTH } from "./lines.ts";

function split(chunks: readonly string[], limit?: number): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line), limit);
  for (const chunk of chunks) splitter.push(chunk);
  splitter.end();
  return lines;
}

describe("LineSplitter", () => {
  it("gives the same lines however the text is cut", () => {
    const text = "one\r\ntwo\n\nthree";
    const wanted = ["one", "two", "", "three"];
    expect(split([text])).toEqual(wanted);
    expect(split(text.split(""))).toEqual(wanted);
  });

  it("flushes an unfinished last line once", () => {
    expect(split([])).toEqual([]);
    expect(split(["a\n"])).toEqual(["a"]);
    const lines: string[] = [];
    const splitter = new LineSplitter((line) => lines.push(line));
    splitter.push("a");
    splitter.end();
    splitter.end();
    expect(lines).toEqual(["a"]);
  });

  it("keeps a line of exactly the limit and marks a longer one", () => {
    expect(split(["abcd\nabcde\nx"], 4)).toEqual(["abcd", "abcd…", "x"]);
    expect(split("abcde\nx".split(""), 4)).toEqual(["abcd…", "x"]);
  });

  it("stays bounded by a line that never ends", () => {
    const [line] = split(Array.from({ length: 1000 }, () => "x".repeat(1000)));
    expect(line).toHaveLength(MAX_LINE_LENGTH + 1);
  });
});
