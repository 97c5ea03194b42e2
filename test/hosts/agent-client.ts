// Runs programs in the emulated host through its agent, and tells a host that no longer answers from a program that failed.
import { HostHungError } from "./host-hung-error.ts";
import { connectSoon, LineSocket } from "./lines.ts";

export interface ExecOptions {
  readonly timeoutMs?: number;
  readonly input?: string | Buffer;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
  /** Told of output as it comes. */
  readonly onOutput?: (text: string) => void;
}

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
  /** As a shell tells it: 128 and the number for a signal, 124 where the time was over. */
  readonly status: number;
}

const DEFAULT_TIMEOUT_MS = 120_000;
/** What the agent is given, beyond a program's own time, to say that it is over. */
const ANSWER_MS = 15_000;
const SIGNALS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

interface End {
  readonly status?: number | null;
  readonly signal?: string | null;
  readonly isTimedOut: boolean;
  readonly failure?: string;
}

interface Message {
  readonly id?: number;
  readonly ready?: boolean;
  readonly out?: string;
  readonly err?: string;
  readonly end?: End;
}

interface Call {
  readonly stdout: Buffer[];
  readonly stderr: Buffer[];
  readonly options: ExecOptions;
  readonly finish: (end: End) => void;
}

export class AgentClient {
  #lines: LineSocket;
  #calls = new Map<number, Call>();
  #nextId = 1;
  #ready = Promise.withResolvers<undefined>();

  private constructor(make: (onLine: (message: unknown) => void) => LineSocket) {
    this.#lines = make((message) => this.#take(message as Message));
  }

  static async open(path: string, signal: AbortSignal): Promise<AgentClient> {
    const socket = await connectSoon(path, signal);
    return new AgentClient((onLine) => new LineSocket(socket, "the host's agent", onLine));
  }

  /** Resolves when the agent has said that it is up; it says so once, when it starts. */
  async ready(signal: AbortSignal): Promise<void> {
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    await Promise.race([this.#ready.promise, this.#lines.lost, aborted]);
  }

  /** Runs one program to its end. */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, input, cwd, env, uid } = options;
    const id = this.#nextId++;
    const ended = Promise.withResolvers<End>();
    const call: Call = { stdout: [], stderr: [], options, finish: ended.resolve };
    this.#calls.set(id, call);
    this.#lines.send({
      ...{ id, argv, cwd, env, uid, timeoutMs },
      input: input === undefined ? undefined : Buffer.from(input).toString("base64"),
    });
    const hung = new HostHungError(`the host did not answer within ${timeoutMs + ANSWER_MS} ms`);
    const timer = setTimeout(() => ended.reject(hung), timeoutMs + ANSWER_MS);
    try {
      const end = await Promise.race([ended.promise, this.#lines.lost]);
      return resultOf(call, end);
    } finally {
      clearTimeout(timer);
      this.#calls.delete(id);
    }
  }

  close(): void {
    this.#lines.close();
  }

  #take(message: Message): void {
    if (message.ready) this.#ready.resolve(undefined);
    const call = this.#calls.get(message.id ?? 0);
    if (call === undefined) return;
    for (const [text, chunks] of [
      [message.out, call.stdout],
      [message.err, call.stderr],
    ] as const) {
      if (text === undefined) continue;
      const chunk = Buffer.from(text, "base64");
      chunks.push(chunk);
      call.options.onOutput?.(chunk.toString());
    }
    if (message.end !== undefined) call.finish(message.end);
  }
}

function resultOf(call: Call, end: End): ExecResult {
  const stderr = Buffer.concat(call.stderr).toString();
  const stdout = Buffer.concat(call.stdout).toString();
  if (end.failure !== undefined)
    return { stdout, stderr: `${stderr}${end.failure}\n`, status: 127 };
  if (end.isTimedOut) return { stdout, stderr, status: 124 };
  return { stdout, stderr, status: end.status ?? 128 + (SIGNALS[end.signal ?? ""] ?? 0) };
}
