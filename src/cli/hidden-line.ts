/**
 * One line typed without echo, from a terminal in raw mode. Keys that are no text (arrows, Ctrl-Z) leave nothing in it: what
 * nobody sees nobody could correct.
 */
import { CancelledError } from "../base/errors.ts";

/** Where a key's escape sequence is: none, after ESC, in `ESC [ …`, or one character before its end. */
type Escape = "none" | "begun" | "parameters" | "last";

/** The line so far. */
export class HiddenLine {
  #characters: string[] = [];
  #escape: Escape = "none";

  get text(): string {
    return this.#characters.join("");
  }

  /** Takes typed text; true once the line is over. Throws CancelledError on Ctrl-C. */
  push(chunk: string): boolean {
    for (const character of chunk) {
      if (this.#isOver(character)) return true;
    }
    return false;
  }

  #isOver(character: string): boolean {
    if (character === "\u0003") throw new CancelledError("stopped by SIGINT", { signal: "SIGINT" });
    if (character === "\r" || character === "\n" || character === "\u0004") return true;
    if (character === "\u001b") this.#escape = "begun";
    else if (this.#escape !== "none") this.#escape = afterEscape(this.#escape, character);
    else this.#edit(character);
    return false;
  }

  #edit(character: string): void {
    if (character === "\u007f" || character === "\b") this.#characters.pop();
    else if (character === "\u0015") this.#characters = [];
    else if (!/\p{Cc}/u.test(character)) this.#characters.push(character);
  }
}

function afterEscape(escape: Escape, character: string): Escape {
  if (escape === "begun") {
    if (character === "[") return "parameters";
    return character === "O" ? "last" : "none";
  }
  if (escape === "last") return "none";
  return /[@-~]/.test(character) ? "none" : "parameters";
}
