/** Splits a byte or text stream into bounded lines. */

/** Longest line that is kept whole; the rest of a longer one is dropped and marked, so memory stays bounded. */
export const MAX_LINE_LENGTH = 8192;

/** Collects text and hands out whole lines without their newline; `end()` flushes an unfinished last line. */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  readonly #limit: number;
  #rest = "";
  #isCut = false;

  constructor(onLine: (line: string) => void, limit: number = MAX_LINE_LENGTH) {
    this.#onLine = onLine;
    this.#limit = limit;
  }

  push(text: string): void {
    const parts = text.split("\n");
    const last = parts.pop() ?? "";
    for (const part of parts) {
      this.#append(part);
      this.#flush();
    }
    this.#append(last);
  }

  end(): void {
    if (this.#rest !== "") this.#flush();
  }

  #append(part: string): void {
    const room = this.#limit - this.#rest.length;
    if (part.length > room) this.#isCut = true;
    this.#rest += part.slice(0, Math.max(0, room));
  }

  #flush(): void {
    const line = this.#rest.endsWith("\r") ? this.#rest.slice(0, -1) : this.#rest;
    const isCut = this.#isCut;
    this.#rest = "";
    this.#isCut = false;
    this.#onLine(isCut ? `${line}…` : line);
  }
}
