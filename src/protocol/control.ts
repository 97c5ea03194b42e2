/**
 * Command ⇄ owner, over `run/<id>/control.sock` (0600 below a 0700 directory): how `exec`, `cp`, `stop` and `info` in another
 * terminal reach the process that owns a bottle. Orders for sessions and copies are those of the guest protocol, so the
 * owner passes streams on without a second vocabulary.
 *
 *   command → owner  ch n: exec, signal, copy-in, copy-out, cancel, + stdin frames; stop, status
 *   owner → command  ch n: started, exited, copied, failed, stopping, state, + stdout/stderr frames
 */
import * as z from "zod/mini";
import { once } from "../base/once.ts";
import { guestOrderSchema, guestReportSchema } from "./guest.ts";

export const controlOrderSchema = once(() => {
  /** Ends the bottle; answered by `stopping`, then the connection closes when the owner is done. */
  const stop = z.strictObject({ kind: z.literal("stop") });
  const status = z.strictObject({ kind: z.literal("status") });

  return z.union([stop, status, guestOrderSchema()]);
});
export type ControlOrder = z.infer<ReturnType<typeof controlOrderSchema>>;

export const controlReportSchema = once(() => {
  const stopping = z.strictObject({ kind: z.literal("stopping") });
  /** What the owner knows that the record does not. */
  const state = z.strictObject({
    kind: z.literal("state"),
    restarts: z.int(),
    limits: z.record(z.string(), z.string()),
    bundlePid: z.int(),
  });

  return z.union([stopping, state, guestReportSchema()]);
});
export type ControlReport = z.infer<ReturnType<typeof controlReportSchema>>;
