/** Takes the owner's orders: hello first, then sessions, copies and probes, each on a channel of its own. */
import { messageOf } from "../base/errors.ts";
import type { Exec } from "../process/exec.ts";
import { settlesWithin } from "../process/terminate.ts";
import type { GuestOrder, GuestReport } from "../protocol/guest.ts";
import { type Mux, type MuxStream, openMux } from "../protocol/mux.ts";
import type { Channel, ChannelHandlers } from "../protocol/mux-channel.ts";
import { copyIn, copyOut, failure } from "./copy.ts";
import { decodeOrder } from "./decode-order.ts";
import { type ProbeOrder, probe } from "./probe.ts";
import { openRelays } from "./relay.ts";
import { Sessions } from "./sessions.ts";

/** SIGTERM to SIGKILL at a shutdown: the owner is waiting, and the agent has been told to end before. */
const SHUTDOWN_GRACE_MS = 2_000;
/** How long last reports may take to leave. */
const FLUSH_MS = 1_000;
const MAX_FAULT_MESSAGE = 1_000;

type Hello = Extract<GuestOrder, { kind: "hello" }>;

export interface InitContext {
  readonly exec: Exec;
  /** Version of our Node. */
  readonly node: string;
  readonly exit: (code: number) => void;
  /** Programs may inherit descriptors 0-2; false where they are the owner's connection. */
  readonly sharesStdio: boolean;
}

/** What the entry needs to hold the lease. */
export interface Init {
  readonly closed: Mux<GuestOrder, GuestReport>["closed"];
  readonly killAll: () => void;
  /** Tells the owner of a failure of ours and exits. */
  readonly fail: (error: unknown) => void;
}

/** Serves one owner on its connection. */
export function serveOwner(stream: MuxStream, context: InitContext): Init {
  let sessions: Sessions | undefined;
  const mux: Mux<GuestOrder, GuestReport> = openMux<GuestOrder, GuestReport>(stream, {
    decode: decodeOrder,
    onMessage: (order) => {
      if (order.kind === "hello" && sessions === undefined) {
        const { exec, sharesStdio } = context;
        sessions = new Sessions({ exec, sharesStdio, env: order.env, home: order.home });
        void greet(mux, order, context);
      } else if (order.kind === "shutdown") {
        void shutDown(mux, sessions, context);
      } else {
        throw new Error(`unexpected ${order.kind}`);
      }
    },
    onChannel: (channel, order) => {
      if (sessions === undefined) throw new Error(`${order.kind} before hello`);
      return serve(channel, order, sessions);
    },
  });
  return {
    closed: mux.closed,
    killAll: () => sessions?.killAll(),
    fail: (error) => void fault(mux, error, context),
  };
}

async function greet(
  mux: Mux<GuestOrder, GuestReport>,
  hello: Hello,
  context: InitContext,
): Promise<void> {
  try {
    await openRelays(hello.relays);
    mux.send({ kind: "ready", version: hello.version, node: context.node });
  } catch (error) {
    await fault(mux, error, context);
  }
}

async function fault(
  mux: Mux<GuestOrder, GuestReport>,
  error: unknown,
  context: InitContext,
): Promise<void> {
  mux.send({ kind: "fault", message: messageOf(error).slice(0, MAX_FAULT_MESSAGE) });
  await leave(mux, context, 1);
}

async function shutDown(
  mux: Mux<GuestOrder, GuestReport>,
  sessions: Sessions | undefined,
  context: InitContext,
): Promise<void> {
  await sessions?.endAll(SHUTDOWN_GRACE_MS);
  await leave(mux, context, 0);
}

async function leave(
  mux: Mux<GuestOrder, GuestReport>,
  context: InitContext,
  code: number,
): Promise<void> {
  mux.end();
  await settlesWithin(mux.closed, FLUSH_MS);
  context.exit(code);
}

function serve(
  channel: Channel<GuestReport>,
  order: GuestOrder,
  sessions: Sessions,
): ChannelHandlers<GuestOrder> {
  switch (order.kind) {
    case "exec":
      return sessions.start(channel, order);
    case "copy-in":
      return copyIn(channel, order.root);
    case "copy-out":
      return copyOut(channel, order.root);
    case "probe":
      void answerProbe(channel, order.target);
      return { onMessage: () => undefined };
    case "hello":
    case "signal":
    case "cancel":
    case "shutdown":
      throw new Error(`a channel cannot begin with ${order.kind}`);
  }
}

async function answerProbe(channel: Channel<GuestReport>, target: ProbeOrder): Promise<void> {
  try {
    channel.send({ kind: "probed", answer: await probe(target) });
  } catch (error) {
    channel.send(failure(error));
  }
  channel.close();
}
