/**
 * Owner ⇄ bundle, over the control pipe (a pipe for a host process; PID 1's stdin and stdout for a container). Messages
 * only, all on channel 0. End of file on the bundle's side of the pipe means that the owner is gone: the bundle closes
 * every door and exits.
 *
 *   owner → bundle: configure (once, first), reload, stop
 *   bundle → owner: ready, reloaded, event, audit, credential-refused, failed
 */
import * as z from "zod/mini";
import { once } from "../base/once.ts";
import { auditEventSchema } from "./audit.ts";

export const BUNDLE_PROTOCOL_VERSION = 1;

/** Daemons by their stable names. Later daemons join here. */
export const DAEMON_NAMES = ["egress", "pipelock", "git-gate", "supervise"] as const;
export type DaemonName = (typeof DAEMON_NAMES)[number];

export const bundleOrderSchema = once(() => {
  const daemon = z.strictObject({
    name: z.enum(DAEMON_NAMES),
    /** The daemon's own configuration; its module parses it with its own schema. */
    config: z.unknown(),
    /** Secret values by slot that this daemon alone gets. */
    secrets: z.record(z.string(), z.string()),
    /** Its door as the bundle sees it: a socket's path, or the TCP form of door.ts. */
    door: z.string(),
  });

  const configure = z.strictObject({
    kind: z.literal("configure"),
    version: z.literal(BUNDLE_PROTOCOL_VERSION),
    slug: z.string(),
    /** Audit file as the bundle sees it. */
    auditFile: z.string(),
    daemons: z.array(daemon),
  });
  const reload = z.strictObject({
    kind: z.literal("reload"),
    name: z.enum(DAEMON_NAMES),
    config: z.unknown(),
    /** New values of slots; the others stay. */
    secrets: z.optional(z.record(z.string(), z.string())),
  });
  const stop = z.strictObject({ kind: z.literal("stop"), deadlineMs: z.int() });

  return z.discriminatedUnion("kind", [configure, reload, stop]);
});
export type BundleOrder = z.infer<ReturnType<typeof bundleOrderSchema>>;

export const bundleReportSchema = once(() => {
  /** Every door accepts now. `fingerprints` are SHA-256 of the certificates each daemon presents, by daemon. */
  const ready = z.strictObject({
    kind: z.literal("ready"),
    daemons: z.array(z.enum(DAEMON_NAMES)),
  });
  const reloaded = z.strictObject({
    kind: z.literal("reloaded"),
    name: z.enum(DAEMON_NAMES),
    ok: z.boolean(),
    message: z.string(),
  });
  /** A decision, told to the owner after it was appended to the audit log. */
  const event = z.strictObject({ kind: z.literal("event"), event: auditEventSchema() });
  /** The audit log cannot be written, so that everything is refused; or it can again. Told when it changes. */
  const audit = z.strictObject({
    kind: z.literal("audit"),
    state: z.enum(["failed", "recovered"]),
    detail: z.string(),
  });
  /** An upstream answered 401 to a credential that the owner can read anew. */
  const refused = z.strictObject({
    kind: z.literal("credential-refused"),
    name: z.enum(DAEMON_NAMES),
    slot: z.string(),
  });
  const failed = z.strictObject({
    kind: z.literal("failed"),
    name: z.string(),
    message: z.string(),
  });

  return z.discriminatedUnion("kind", [ready, reloaded, event, audit, refused, failed]);
});
export type BundleReport = z.infer<ReturnType<typeof bundleReportSchema>>;
