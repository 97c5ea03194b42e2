/**
 * Questions on the operator's terminal. They go to the terminal itself, so that stdin and stdout stay the program's. A signal
 * ends the question, and the terminal is always left as it was found.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { isatty, ReadStream } from "node:tty";
import { systemCode, UsageError } from "../base/errors.ts";
import { HiddenLine } from "./hidden-line.ts";

/** True when the operator can be asked: stdin and stderr are terminals. */
export function hasTerminal(): boolean {
  return isatty(0) && isatty(2);
}

/** Asks a yes/no question; anything but y or yes is no. Rejects with the signal's reason. */
export async function askYesNo(question: string, signal?: AbortSignal): Promise<boolean> {
  return isYes(await askLine(`${question} [y/N] `, signal));
}

/** True for y and yes. */
export function isYes(answer: string): boolean {
  return /^y(es)?$/i.test(answer.trim());
}

/** Asks for one line; "" when the terminal ends. Rejects with the signal's reason. */
export async function askLine(question: string, signal?: AbortSignal): Promise<string> {
  writeSync(2, question);
  try {
    return await withTerminal(signal, readLine);
  } catch (error) {
    // The answer has no end of line: what is said next begins on one of its own.
    writeSync(2, "\n");
    throw error;
  }
}

async function readLine(terminal: ReadStream): Promise<string> {
  let text = "";
  for await (const chunk of terminal) {
    text += String(chunk);
    const end = text.indexOf("\n");
    if (end !== -1) return text.slice(0, end).replace(/\r$/, "");
  }
  return text;
}

/** Asks for a secret without echo. Throws CancelledError on Ctrl-C, and rejects with the signal's reason. */
export function askSecret(message: string, signal?: AbortSignal): Promise<string> {
  return withTerminal(signal, async (terminal) => {
    // Before the question: whoever types ahead must not see it either.
    terminal.setRawMode(true);
    try {
      writeSync(2, `${message === "" ? "secret" : message}: `);
      return await readHidden(terminal);
    } finally {
      if (!terminal.destroyed) terminal.setRawMode(false);
      writeSync(2, "\n");
    }
  });
}

/** Reads from the terminal that controls this process, whatever stdin is. */
async function withTerminal<T>(
  signal: AbortSignal | undefined,
  read: (terminal: ReadStream) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const fd = openTerminal();
  const terminal = new ReadStream(fd);
  terminal.setEncoding("utf8");
  const onAbort = (): void => {
    // Before it is closed: afterwards nobody could leave raw mode any more.
    if (terminal.isRaw) terminal.setRawMode(false);
    terminal.destroy();
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const answer = await read(terminal);
    signal?.throwIfAborted();
    return answer;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    terminal.destroy();
    closeIfOpen(fd);
  }
}

function openTerminal(): number {
  try {
    return openSync("/dev/tty", "r+");
  } catch (cause) {
    throw new UsageError(
      "usage.not-a-terminal",
      "an answer is needed, and no terminal is attached",
      { hint: "add --yes, or run it on a terminal", cause },
    );
  }
}

async function readHidden(terminal: ReadStream): Promise<string> {
  const line = new HiddenLine();
  for await (const chunk of terminal) {
    if (line.push(String(chunk))) break;
  }
  return line.text;
}

/** The stream reads through a descriptor of its own where it can, and closes ours where it cannot. */
function closeIfOpen(fd: number): void {
  try {
    closeSync(fd);
  } catch (error) {
    if (systemCode(error) !== "EBADF") throw error;
  }
}
