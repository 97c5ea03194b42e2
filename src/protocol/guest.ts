/**
 * Owner ⇄ guest-init, over the `init` door. The guest connects once; the owner gives orders; everything the guest says is
 * hostile input. Channel 0 carries the life of the guest; each session or copy has a channel chosen by the owner (1…).
 *
 *   owner → init  ch 0: hello, shutdown          ch n: exec, signal, copy-in, copy-out, cancel, probe, + stdin frames
 *   init → owner  ch 0: ready, fault             ch n: started, exited, probed, copied, failed, + stdout/stderr frames
 *
 * A channel begins with exec, copy-in, copy-out or probe and ends with exited, copied, probed or failed: nothing follows that.
 * A copy is one archive (archive.ts) as stdin inwards, as stdout outwards.
 *
 * Flow control (mux-streams.ts): each stream of a channel may have MAX_WINDOW_BYTES under way; `window` frames give credit back
 * as the reader consumes. An empty data frame ends its stream.
 */
import * as z from "zod/mini";
import { once } from "../base/once.ts";
import { MAX_PATH_LENGTH } from "../base/tree.ts";

export type { TreeEntry as ArchiveEntry } from "../base/tree.ts";

export const GUEST_PROTOCOL_VERSION = 1;
/** Longest path, variable or argument; the kernel's own bound for one argument. */
export const MAX_STRING = 131_072;

const text = (max: number = MAX_STRING): z.ZodMiniString =>
  z.string().check(z.maxLength(max), z.regex(/^[^\0]*$/));
const port = () => z.int().check(z.gte(1), z.lte(65535));

/** One listener of the relay: guest's 127.0.0.1:`port` to the unix socket `socket`, or to `tcp:ADDRESS:PORT`. */
const relay = () => z.strictObject({ port: port(), socket: text(MAX_PATH_LENGTH) });

/** First order, before any guest code runs. `env` is what every session starts from. */
const hello = () =>
  z.strictObject({
    kind: z.literal("hello"),
    version: z.literal(GUEST_PROTOCOL_VERSION),
    relays: z.array(relay()).check(z.maxLength(16)),
    env: z.record(text(), text()),
    home: text(MAX_PATH_LENGTH),
  });

/**
 * Starts a program as guest-init's child. `inherit` gives it guest-init's own descriptors 0-2 (the operator's terminal or
 * pipes), `pipe` carries them as frames. `env` is laid over the hello's.
 */
const exec = () =>
  z.strictObject({
    kind: z.literal("exec"),
    argv: z.array(text()).check(z.minLength(1), z.maxLength(65_536)),
    env: z.record(text(), text()),
    cwd: text(MAX_PATH_LENGTH),
    stdio: z.enum(["inherit", "pipe", "null"]),
  });

const signal = () =>
  z.strictObject({
    kind: z.literal("signal"),
    signal: z.string().check(z.regex(/^SIG[A-Z0-9]{2,9}$/)),
  });
/** The archive follows; answered by `copied`. `root` is absolute; missing parents are made. */
const copyIn = () => z.strictObject({ kind: z.literal("copy-in"), root: text(MAX_PATH_LENGTH) });
/** Answered by the archive, then `copied`. */
const copyOut = () => z.strictObject({ kind: z.literal("copy-out"), root: text(MAX_PATH_LENGTH) });
/** Gives a copy up; answered by `failed` (or by `copied`, when it was done). */
const cancel = () => z.strictObject({ kind: z.literal("cancel") });

/** Tries to reach something and says what happened; used for the doors (must answer) and the outside (must not). */
const probe = () =>
  z.strictObject({
    kind: z.literal("probe"),
    target: z.discriminatedUnion("type", [
      z.strictObject({
        type: z.literal("tcp"),
        host: text(255),
        port: port(),
        timeoutMs: z.int().check(z.gte(1), z.lte(10_000)),
      }),
      /** Without a host it is the relay's door on the guest's own loopback. */
      z.strictObject({
        type: z.literal("door"),
        host: z.optional(text(255)),
        port: port(),
        timeoutMs: z.int().check(z.gte(1), z.lte(10_000)),
      }),
      z.strictObject({ type: z.literal("interfaces") }),
      /** Asks a name server for a name that nobody has; any answer that comes from a server elsewhere counts as one. */
      z.strictObject({
        type: z.literal("dns"),
        host: text(255),
        timeoutMs: z.int().check(z.gte(1), z.lte(10_000)),
      }),
      /** Sends one datagram to everyone on the guest's networks; who listens for it says whether it came. */
      z.strictObject({ type: z.literal("broadcast"), port: port() }),
    ]),
  });
const shutdown = () => z.strictObject({ kind: z.literal("shutdown") });

/** Made at the first use, as all schemas of protocols: one takes milliseconds that no start has to spare. */
export const guestOrderSchema = once(() =>
  z.discriminatedUnion("kind", [
    hello(),
    exec(),
    signal(),
    copyIn(),
    copyOut(),
    cancel(),
    probe(),
    shutdown(),
  ]),
);
/** What the owner may say to guest-init. */
export type GuestOrder = z.infer<ReturnType<typeof guestOrderSchema>>;

const ready = () =>
  z.strictObject({
    kind: z.literal("ready"),
    version: z.literal(GUEST_PROTOCOL_VERSION),
    node: text(64),
  });
const fault = () => z.strictObject({ kind: z.literal("fault"), message: text(2000) });
const started = () => z.strictObject({ kind: z.literal("started"), pid: z.int().check(z.gte(1)) });
/** `code` and `signal` as waitpid tells; exactly one is set. */
const exited = () =>
  z.strictObject({
    kind: z.literal("exited"),
    code: z.nullable(z.int().check(z.gte(0), z.lte(255))),
    signal: z.nullable(z.string().check(z.regex(/^SIG[A-Z0-9]{2,9}$/))),
  });
/** `answer`: refused, timeout, unreachable, connected, answered, sent; for interfaces: the names joined with commas. */
const probed = () =>
  z.strictObject({
    kind: z.literal("probed"),
    answer: z.string().check(z.maxLength(1000), z.regex(/^[\x20-\x7e]*$/)),
  });
const copied = () =>
  z.strictObject({ kind: z.literal("copied"), entries: z.int().check(z.gte(0)) });
/** The order of this channel failed; `code` is a system error code such as ENOENT, or one of ours such as `usage.path`. */
const code = () => z.string().check(z.regex(/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/));
const failed = () =>
  z.strictObject({ kind: z.literal("failed"), code: code(), message: text(2000) });

export const guestReportSchema = once(() =>
  z.discriminatedUnion("kind", [
    ready(),
    fault(),
    started(),
    exited(),
    probed(),
    copied(),
    failed(),
  ]),
);
/** What guest-init may say to its owner. */
export type GuestReport = z.infer<ReturnType<typeof guestReportSchema>>;
