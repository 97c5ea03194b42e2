/**
 * What a copy could not carry: paths are UTF-8 text in archives, and a guest's names may be any bytes. Invariant: everything else is
 * copied first, then the copy fails with a count, so that no work is lost without a word.
 */
import { BottleError, UsageError } from "./errors.ts";

/** `details.code` of the error, also where it has come through a guest's report. */
const LEFT_OUT = "left-out";
/** Names in one message; the count tells of the rest. */
const MAX_NAMES = 5;
const MAX_NAME_BYTES = 60;

/** True for the error of a copy that carried everything but what it counts. */
export function isLeftOut(error: unknown): error is BottleError {
  return error instanceof BottleError && error.details["code"] === LEFT_OUT;
}

/** The text of bytes that are UTF-8; undefined for others. */
export function decodeName(raw: Buffer): string | undefined {
  const text = raw.toString("utf8");
  return Buffer.from(text).equals(raw) ? text : undefined;
}

/** Collects what one or more trees left out, and tells it when everything else is done. */
export class LeftOut {
  #count = 0;
  readonly #names: string[] = [];
  readonly #errors: BottleError[] = [];

  /** Counts an entry in the directory `parent`; its name is shown in escapes. */
  add(parent: string, raw: Buffer): void {
    this.#count += 1;
    if (this.#names.length >= MAX_NAMES) return;
    const path = Buffer.concat([Buffer.from(parent === "" ? "" : `${parent}/`), raw]);
    const start = Math.max(0, path.length - MAX_NAME_BYTES);
    this.#names.push((start > 0 ? "…" : "") + escapeBytes(path.subarray(start)));
  }

  /** Passes items on, and keeps what they left out for {@link check}. */
  async *hold<T>(items: AsyncIterable<T> | Iterable<T>): AsyncGenerator<T, void, undefined> {
    try {
      yield* items;
    } catch (error) {
      if (!isLeftOut(error)) throw error;
      this.#errors.push(error);
    }
  }

  /** Throws UsageError `usage.path`, or what was held, when anything was left out. */
  check(): void {
    const [first, ...more] = this.#errors;
    const all = [...this.#names, ...this.#errors.flatMap(namesOf)];
    const count = this.#errors.reduce<number>((sum, it) => sum + countOf(it), this.#count);
    if (first !== undefined && more.length === 0 && this.#count === 0) throw first;
    if (count > 0) throw leftOutError(count, all.slice(0, MAX_NAMES));
  }
}

function leftOutError(count: number, names: readonly string[]): UsageError {
  const what = count === 1 ? "1 entry was" : `${count} entries were`;
  const rest = count > names.length ? ", …" : "";
  return new UsageError(
    "usage.path",
    `${what} left out and all else was copied: a name or link that is not UTF-8: ${names.join(", ")}${rest}`,
    { details: { code: LEFT_OUT, count, names } },
  );
}

function namesOf({ details }: BottleError): readonly string[] {
  const { names } = details;
  return typeof names === "object" ? names : [];
}

function countOf({ details }: BottleError): number {
  const { count } = details;
  return typeof count === "number" ? count : 1;
}

/** Printable ASCII as it is, every other byte and the backslash as `\xHH`. */
function escapeBytes(bytes: Buffer): string {
  return bytes
    .toString("latin1")
    .replace(
      /[^\x20-\x5b\x5d-\x7e]/g,
      (it) => `\\x${it.charCodeAt(0).toString(16).padStart(2, "0")}`,
    );
}
