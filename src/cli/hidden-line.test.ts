import { describe, expect, it } from "vitest";
import { CancelledError } from "../base/errors.ts";
import { HiddenLine } from "./hidden-line.ts";

describe("HiddenLine", () => {
  it.each([
    ["plain", "s3cret", "s3cret"],
    ["arrows and function keys", "a\u001b[Ab\u001b[1;5Cc\u001bOPd\u001b[15~e", "abcde"],
    ["bracketed paste", "\u001b[200~token\u001b[201~", "token"],
    ["an Alt key", "a\u001bxb", "ab"],
    ["Ctrl-Z, tab and C1", "a\u001ab\tc\u0085d", "abcd"],
    ["backspace", "ab\u007fc\bd", "ad"],
    ["Ctrl-U", "wrong\u0015right", "right"],
    ["backspace on an astral character", "a\u{1f600}\u007fb", "ab"],
  ])("%s", (_, typed, text) => {
    const line = new HiddenLine();
    for (const unit of typed) expect(line.push(unit)).toBe(false);
    expect(line.push("\r")).toBe(true);
    expect(line.text).toBe(text);
  });

  it("ends with Ctrl-C", () => {
    expect(() => new HiddenLine().push("ab\u0003")).toThrow(CancelledError);
  });
});
