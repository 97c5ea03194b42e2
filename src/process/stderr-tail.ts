/** Keeps the last lines of a child's stderr and logs each line; memory stays bounded whatever the child writes. */
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { LineSplitter } from "../base/lines.ts";
import type { Logger } from "../base/log.ts";
import { STDERR_TAIL_LINES } from "./exec.ts";

/** The last {@link STDERR_TAIL_LINES} lines pushed. */
export class StderrTail {
  readonly #lines: string[] = [];
  readonly #decoder = new StringDecoder("utf8");
  readonly #splitter: LineSplitter;

  /** `label` starts each logged line: `[name pid]`. */
  constructor(label: string, log: Logger | undefined) {
    this.#splitter = new LineSplitter((line) => {
      this.#lines.push(line);
      if (this.#lines.length > STDERR_TAIL_LINES) this.#lines.shift();
      log?.info(`${label} ${line}`);
    });
  }

  /** Reads a stream to its end. */
  read(stream: Readable): void {
    stream.on("data", (chunk: Buffer) => this.push(chunk));
    stream.on("end", () => this.end());
  }

  push(chunk: Buffer): void {
    this.#splitter.push(this.#decoder.write(chunk));
  }

  end(): void {
    this.#splitter.push(this.#decoder.end());
    this.#splitter.end();
  }

  get lines(): readonly string[] {
    return [...this.#lines];
  }
}
