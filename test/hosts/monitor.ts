// QEMU's monitor: asks one thing at a time.
import { connectSoon, LineSocket } from "./lines.ts";

interface Answer {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly QMP?: unknown;
}

export class Monitor {
  #lines: LineSocket;
  #waiting: ((answer: Answer) => void) | undefined;

  private constructor(make: (onLine: (message: unknown) => void) => LineSocket) {
    this.#lines = make((message) => this.#take(message as Answer));
  }

  /** Connects to the socket of a QEMU that is just starting. */
  static async open(path: string, signal: AbortSignal): Promise<Monitor> {
    const socket = await connectSoon(path, signal);
    const monitor = new Monitor((onLine) => new LineSocket(socket, "QEMU's monitor", onLine));
    await monitor.ask("qmp_capabilities");
    return monitor;
  }

  async ask(execute: string, args: object = {}): Promise<Readonly<Record<string, unknown>>> {
    const answered = new Promise<Answer>((resolve) => {
      this.#waiting = resolve;
    });
    this.#lines.send({ execute, arguments: args });
    const answer = await Promise.race([answered, this.#lines.lost]);
    if (answer.error) throw new Error(`QEMU: ${execute}: ${answer.error.desc}`);
    return answer.return as Readonly<Record<string, unknown>>;
  }

  /** Asks until the field is one of the values. */
  async until(command: string, field: string, values: readonly string[]): Promise<string> {
    for (;;) {
      const value = (await this.ask(command))[field];
      if (typeof value === "string" && values.includes(value)) return value;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  close(): void {
    this.#lines.close();
  }

  #take(answer: Answer): void {
    if (answer.QMP !== undefined || answer.event !== undefined) return;
    this.#waiting?.(answer);
  }
}
