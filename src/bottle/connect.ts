/** A command's connection to the process that owns a bottle. */
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { ArchiveItem, Session } from "../backends/contract.ts";
import { copyIn, copyOut } from "../backends/shared/guest-calls.ts";
import { type OrderedSession, startSession } from "../backends/shared/guest-session.ts";
import { withDeadline } from "../base/deadline.ts";
import { ProtocolError, systemCode, UsageError } from "../base/errors.ts";
import { type BottleId, type GuestPath, parseGuestPath } from "../base/ids.ts";
import type { HomePaths } from "../base/paths.ts";
import { type ControlOrder, type ControlReport, controlReportSchema } from "../protocol/control.ts";
import { type GuestOrder, type GuestReport, guestReportSchema } from "../protocol/guest.ts";
import { type Mux, openMux } from "../protocol/mux.ts";
import { readRecord } from "../protocol/record.ts";

/** Time for the owner to answer: it is one process on the same machine. */
const ANSWER_MS = 5_000;
/** Time for a bottle to end after it was told to: guest and bundle have their graces. */
const STOP_MS = 60_000;

/** What the owner knows that the record does not. */
export type OwnerState = Omit<Extract<ControlReport, { kind: "state" }>, "kind">;

export interface ExecThroughOwnerOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the agent's working directory. */
  readonly cwd?: string;
}

/** A connection to a running bottle. Disposing it ends what runs through it. */
export interface BottleConnection extends AsyncDisposable {
  readonly id: BottleId;
  /** Starts a program with piped descriptors. Throws LaunchError `launch.agent` when it cannot be executed. */
  exec(argv: readonly string[], options?: ExecThroughOwnerOptions): Promise<Session>;
  copyIn(
    root: GuestPath,
    items: AsyncIterable<ArchiveItem> | Iterable<ArchiveItem>,
  ): Promise<number>;
  copyOut(root: GuestPath): AsyncIterable<ArchiveItem>;
  /** Ends the bottle; resolves when its owner is done with it. */
  stop(): Promise<void>;
  status(): Promise<OwnerState>;
}

/** Connects to the owner of a bottle. Throws UsageError `usage.not-running` when there is none. */
export async function connectBottle(home: HomePaths, id: BottleId): Promise<BottleConnection> {
  const record = await readRecord(join(home.state, id));
  if (record === undefined || record.run_dir === "") throw notRunning(id);
  const path = join(record.run_dir, "control.sock");
  const open = async (): Promise<Socket> => openSocket(path, id);
  const sessions = openMux<GuestReport, GuestOrder>(await open(), {
    decode: (value) => guestReportSchema().safeParse(value).data,
  });
  return {
    id,
    exec: (argv, options = {}) => startSession(sessions, sessionOptions(argv, options)),
    copyIn: (root, items) => copyIn(sessions, root, items),
    copyOut: (root) => copyOut(sessions, root, () => sessions.destroy()),
    stop: async () => askToStop(await open()),
    status: async () => askState(await open()),
    [Symbol.asyncDispose]: async () => {
      sessions.destroy();
      await sessions.closed;
    },
  };
}

function sessionOptions(
  argv: readonly string[],
  { env = {}, cwd }: ExecThroughOwnerOptions,
): OrderedSession {
  return {
    argv,
    env,
    cwd: cwd === undefined ? undefined : parseGuestPath(cwd),
    stdio: "pipe",
  };
}

function notRunning(id: BottleId, cause?: unknown): UsageError {
  return new UsageError("usage.not-running", `bottle ${id} is not running`, {
    hint: "run bot-bottle list active",
    cause,
  });
}

function openSocket(path: string, id: BottleId): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
    socket.once("error", (error) => {
      const code = systemCode(error);
      reject(code === "ENOENT" || code === "ECONNREFUSED" ? notRunning(id, error) : error);
    });
  });
}

type ControlMux = Mux<ControlReport, ControlOrder>;

/** Sends one order on channel 0 and waits for its answer. */
function ask(
  socket: Socket,
  order: ControlOrder,
): { readonly mux: ControlMux; readonly answer: Promise<ControlReport> } {
  const answer = Promise.withResolvers<ControlReport>();
  const mux: ControlMux = openMux<ControlReport, ControlOrder>(socket, {
    decode: (value) => controlReportSchema().safeParse(value).data,
    onMessage: (report) => answer.resolve(report),
  });
  void mux.closed.then(() =>
    answer.reject(new ProtocolError("protocol.closed", "the bottle's owner ended the connection")),
  );
  mux.send(order);
  return { mux, answer: answer.promise };
}

async function askState(socket: Socket): Promise<OwnerState> {
  const { mux, answer } = ask(socket, { kind: "status" });
  try {
    const report = await withDeadline(answer, {
      what: "the bottle's owner to answer",
      timeoutMs: ANSWER_MS,
    });
    if (report.kind === "state") return report;
    throw new ProtocolError(
      "protocol.message",
      `the bottle's owner answered "${report.kind}" to status`,
    );
  } finally {
    mux.destroy();
  }
}

async function askToStop(socket: Socket): Promise<void> {
  const { mux, answer } = ask(socket, { kind: "stop" });
  await withDeadline(answer, { what: "the bottle's owner to answer", timeoutMs: ANSWER_MS });
  await withDeadline(mux.closed, { what: "the bottle to end", timeoutMs: STOP_MS });
}
