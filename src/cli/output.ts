/** Results to stdout, progress and notes to stderr. The only file that writes text to either; `exec` passes a program's bytes. */
import { writeSync } from "node:fs";
import { HostError, systemCode } from "../base/errors.ts";

/** Where a command's text goes. */
export interface Output {
  /** A result, with newline added. */
  print(text: string): void;
  /** A result as one line of JSON. */
  json(value: unknown): void;
  /** A result's bytes as they are. */
  bytes(chunk: Uint8Array): void;
  /** A note for people on stderr; silenced by --quiet. */
  note(text: string): void;
  /** Text on stderr that --quiet does not silence: questions, errors. */
  error(text: string): void;
  /** A line that is replaced by the next one on a terminal, and shown at most once a second elsewhere. */
  progress(text: string): void;
  readonly color: Palette;
  /** The same output, with notes silenced or not. */
  quiet(isQuiet: boolean): Output;
  /** True once nobody reads results any more: what goes on for ever ends then. */
  isClosed(): boolean;
}

/** Colours for terminals; plain text elsewhere. */
export interface Palette {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
}

const paint =
  (isOn: boolean, open: number, close: number): ((text: string) => string) =>
  (text) =>
    isOn ? `\u001b[${open}m${text}\u001b[${close}m` : text;

/** Makes the colours, or functions that leave text as it is. */
export function createPalette(isOn: boolean): Palette {
  return {
    bold: paint(isOn, 1, 22),
    dim: paint(isOn, 2, 22),
    red: paint(isOn, 31, 39),
    green: paint(isOn, 32, 39),
    yellow: paint(isOn, 33, 39),
  };
}

/** Descriptors whose reader is gone. */
type Gone = Set<number>;

/** Writes all bytes, waiting where the other side is slow; a closed pipe ends our output silently. Throws HostError for stdout. */
function writeAll(fd: number, bytes: Uint8Array, gone: Gone): void {
  let rest = bytes;
  while (rest.length > 0 && !gone.has(fd)) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      giveUpUnlessBusy(error, fd, gone);
    }
  }
}

/** Waits a little where the other side is slow. Throws HostError for stdout, once: how it is told must not fail the same way. */
function giveUpUnlessBusy(error: unknown, fd: number, gone: Gone): void {
  const code = systemCode(error);
  if (code === "EAGAIN") {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    return;
  }
  gone.add(fd);
  if (code !== "EPIPE" && fd === 1) throw stdoutError(error);
}

function stdoutError(cause: unknown): HostError {
  const code = systemCode(cause);
  const isFull = code === "ENOSPC" || code === "EDQUOT";
  return new HostError(
    isFull ? "host.disk-full" : "host.unwritable",
    `cannot write to stdout: ${isFull ? "the disk is full" : (code ?? "unknown")}`,
    { hint: "check where stdout goes", cause },
  );
}

/** JSON leaves C1 controls and direction marks as they are, and some terminals act on them. */
function safeJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (it) => `\\u${it.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Makes the process's output. */
export function createOutput(hasColor: boolean, isQuiet = false, gone: Gone = new Set()): Output {
  let lastProgress = "";
  const color = createPalette(hasColor);
  const result = (text: string): void => writeAll(1, Buffer.from(`${text}\n`), gone);
  const error = (text: string): void => writeAll(2, Buffer.from(`${text}\n`), gone);
  return {
    color,
    print: result,
    json: (value) => result(safeJson(value)),
    bytes: (chunk) => writeAll(1, chunk, gone),
    note: (text) => {
      if (!isQuiet) error(text);
    },
    error,
    progress: (text) => {
      if (isQuiet || text === lastProgress) return;
      lastProgress = text;
      error(color.dim(text));
    },
    quiet: (next) => createOutput(hasColor, next, gone),
    isClosed: () => gone.has(1),
  };
}
