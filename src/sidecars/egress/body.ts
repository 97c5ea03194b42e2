/** Reads request bodies up to a bound, in bounded time, and counts what all of them together hold in memory. */
import type { IncomingMessage } from "node:http";

/** A body up to this size is judged whole before its first byte leaves. */
export const MAX_WHOLE_BODY_BYTES: number = 1024 * 1024;
/** What the bodies of all requests together may hold. */
export const MAX_BUFFERED_BYTES: number = 64 * 1024 * 1024;
/** Longest silence in the middle of a body. */
export const BODY_IDLE_MS = 60_000;

/** Memory that bodies may take; shared by all requests of a bottle. */
export interface BufferBudget {
  /** False when nothing is left; then the request is refused. */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** Makes a budget. */
export function createBufferBudget(limit: number = MAX_BUFFERED_BYTES): BufferBudget {
  let used = 0;
  return {
    take: (bytes) => {
      if (used + bytes > limit) return false;
      used += bytes;
      return true;
    },
    give: (bytes) => {
      used -= bytes;
    },
  };
}

/** What was read: all of the body, or its beginning when it is longer than the bound. */
export type BodyStart =
  | { readonly kind: "whole"; readonly bytes: Buffer }
  | { readonly kind: "longer"; readonly first: readonly Buffer[] }
  | { readonly kind: "broken"; readonly why: "aborted" | "too slow" };

/** Reads a body until it ends or goes beyond `limit`; then the request is paused with the rest unread. */
export function readBodyStart(request: IncomingMessage, limit: number): Promise<BodyStart> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const finish = (result: BodyStart): void => {
      clearTimeout(idle);
      request.off("data", onData).off("end", onEnd).off("close", onBroken).off("error", onBroken);
      resolve(result);
    };
    const onData = (chunk: Buffer): void => {
      idle.refresh();
      chunks.push(chunk);
      size += chunk.length;
      if (size <= limit) return;
      request.pause();
      finish({ kind: "longer", first: chunks });
    };
    const onEnd = (): void => finish({ kind: "whole", bytes: Buffer.concat(chunks) });
    const onBroken = (): void => finish({ kind: "broken", why: "aborted" });
    const idle = setTimeout(() => finish({ kind: "broken", why: "too slow" }), BODY_IDLE_MS);
    request.on("data", onData).on("end", onEnd).on("close", onBroken).on("error", onBroken);
  });
}
