/** The size of the operator's terminal, and when it changes: Node tells changes to its own standard streams only, so that signals are listened for. */
import { WriteStream } from "node:tty";

/** The size of a terminal. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** The size that it has now. A stream keeps the one that it found when it was made. */
export function readTerminalSize(fd: number): TerminalSize {
  const stream = new WriteStream(fd);
  stream.on("error", () => undefined);
  const [columns, rows] = stream.getWindowSize();
  stream.destroy();
  return { columns, rows };
}

/** Listens for changes; returns how to stop. */
export function onTerminalResize(listener: () => void): () => void {
  process.on("SIGWINCH", listener);
  return () => void process.off("SIGWINCH", listener);
}
