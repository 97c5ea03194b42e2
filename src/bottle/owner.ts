/**
 * The owner's control socket: how commands in other terminals reach this bottle. The socket is 0600 below a 0700 directory, so
 * whoever can connect is the operator. Orders for sessions and copies are passed on to the guest; streams keep their credit.
 */
import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { constants } from "node:os";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Session } from "../backends/contract.ts";
import { messageOf, ProtocolError } from "../base/errors.ts";
import { parseGuestPath } from "../base/ids.ts";
import { LeftOut } from "../base/left-out.ts";
import { tap } from "../base/tap.ts";
import { decodeArchive, encodeArchive } from "../protocol/archive.ts";
import type { ControlOrder, ControlReport } from "../protocol/control.ts";
import { type Channel, type ChannelHandlers, type Mux, openMux } from "../protocol/mux.ts";
import type { Bottle } from "./bottle.ts";

/** Most commands connected at one time. */
const MAX_CONNECTIONS = 64;

/** Serves commands until disposed. */
export interface Owner extends AsyncDisposable {
  readonly path: string;
}

/** Opens the control socket of a bottle. Throws the system's error when it cannot listen. */
export async function openOwner(bottle: Bottle): Promise<Owner> {
  const path = bottle.plan.paths.control;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    void serveCommand(socket, bottle);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, path);
  chmodSync(path, 0o600);
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
}

/** The schema is loaded for the first command, not for every start: most bottles never see one. */
async function serveCommand(socket: Socket, bottle: Bottle): Promise<void> {
  socket.on("error", () => socket.destroy());
  const { controlOrderSchema } = await import("../protocol/control.ts");
  const mux: Mux<ControlOrder, ControlReport> = openMux<ControlOrder, ControlReport>(socket, {
    decode: (value) => controlOrderSchema().safeParse(value).data,
    onMessage: (order) => void answer(mux, order, bottle),
    onChannel: (channel, order) => serveOrder(channel, order, bottle),
  });
}

/** Channel 0: the bottle as a whole. */
async function answer(
  mux: Mux<ControlOrder, ControlReport>,
  order: ControlOrder,
  bottle: Bottle,
): Promise<void> {
  if (order.kind === "status") {
    mux.send({
      kind: "state",
      restarts: bottle.restarts,
      limits: { ...bottle.guest.limits },
      bundlePid: bottle.bundle.pid,
    });
  } else if (order.kind === "stop") {
    mux.send({ kind: "stopping" });
    await bottle.close("stopped by the operator");
    mux.end();
  } else mux.destroy();
}

function serveOrder(
  channel: Channel<ControlReport>,
  order: ControlOrder,
  bottle: Bottle,
): ChannelHandlers<ControlOrder> {
  if (order.kind === "exec") return serveSession(channel, order, bottle);
  if (order.kind === "copy-in") return serveCopyIn(channel, order.root, bottle);
  if (order.kind === "copy-out") return serveCopyOut(channel, order.root, bottle);
  throw new ProtocolError("protocol.message", `a channel cannot begin with ${order.kind}`);
}

type ExecOrder = Extract<ControlOrder, { kind: "exec" }>;

function serveSession(
  channel: Channel<ControlReport>,
  order: ExecOrder,
  bottle: Bottle,
): ChannelHandlers<ControlOrder> {
  const input = channel.readable("stdin");
  const started = bottle.start(order.argv, {
    env: order.env,
    ...(order.cwd === "" ? {} : { cwd: order.cwd }),
    stdio: "pipe",
  });
  void runSession(channel, started, input);
  const kill = (signal: string): void =>
    void started.then(
      (session) => (isSignal(signal) ? session.kill(signal) : undefined),
      () => undefined,
    );
  return {
    onMessage: (message) => {
      if (message.kind === "signal") kill(message.signal);
    },
    // The command is gone: nobody reads this session any more.
    onLost: () => kill("SIGKILL"),
  };
}

function isSignal(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name);
}

async function runSession(
  channel: Channel<ControlReport>,
  started: Promise<Session>,
  input: Readable,
): Promise<void> {
  try {
    const session = await started;
    channel.send({ kind: "started", pid: session.pid });
    const { stdin, stdout, stderr } = session;
    if (stdin !== undefined) {
      stdin.on("error", () => input.destroy());
      input.pipe(stdin);
    }
    const outputs = [passOn(stdout, channel, "stdout"), passOn(stderr, channel, "stderr")];
    const exit = await session.exited;
    await Promise.all(outputs);
    channel.send({ kind: "exited", code: exit.exitCode ?? null, signal: exit.signal ?? null });
  } catch (error) {
    channel.send(failed(error));
  }
  channel.close();
}

async function passOn(
  source: Readable | undefined,
  channel: Channel<ControlReport>,
  kind: "stdout" | "stderr",
): Promise<void> {
  if (source === undefined) return;
  try {
    await pipeline(source, channel.writable(kind));
  } catch (error) {
    // The reader is gone; the session is killed by onLost, and its exit tells the rest.
    source.destroy();
    void error;
  }
}

function serveCopyIn(
  channel: Channel<ControlReport>,
  root: string,
  bottle: Bottle,
): ChannelHandlers<ControlOrder> {
  const input = channel.readable("stdin");
  void reportCopy(channel, () => bottle.copyIn(parseGuestPath(root), decodeArchive(input)));
  return { onMessage: () => void input.destroy(), onLost: () => void input.destroy() };
}

function serveCopyOut(
  channel: Channel<ControlReport>,
  root: string,
  bottle: Bottle,
): ChannelHandlers<ControlOrder> {
  const stop = new AbortController();
  void reportCopy(channel, async () => {
    let entries = 0;
    const leftOut = new LeftOut();
    const counted = tap(leftOut.hold(bottle.copyOut(parseGuestPath(root))), () => {
      entries += 1;
    });
    const bytes = Readable.from(encodeArchive(counted), { highWaterMark: 1 });
    await pipeline(bytes, channel.writable("stdout"), { signal: stop.signal });
    leftOut.check();
    return entries;
  });
  return { onMessage: () => stop.abort(), onLost: () => stop.abort() };
}

async function reportCopy(
  channel: Channel<ControlReport>,
  copy: () => Promise<number>,
): Promise<void> {
  try {
    channel.send({ kind: "copied", entries: await copy() });
  } catch (error) {
    channel.send(failed(error));
  }
  channel.close();
}

/** Longest message of a failure, as the schema has it. */
const MAX_MESSAGE = 1000;

/** The report of an order that failed; a program that cannot be executed keeps its system code. */
function failed(error: unknown): ControlReport {
  const details =
    error instanceof Error && "details" in error && typeof error.details === "object"
      ? error.details
      : {};
  const code =
    details !== null && "code" in details && typeof details.code === "string"
      ? details.code
      : "failed";
  return { kind: "failed", code, message: messageOf(error).slice(0, MAX_MESSAGE) };
}
