/** Reads bodies up to a bound and counts what all of them together hold in memory. */
import type { HeaderList } from "../../policy/headers.ts";
import type { BodyFault, BodySink, BodySource } from "./message.ts";

/** A body up to this size is judged whole before its first byte leaves. */
export const MAX_WHOLE_BODY_BYTES: number = 1024 * 1024;
/** What the bodies of all requests together may hold. */
export const MAX_BUFFERED_BYTES: number = 64 * 1024 * 1024;

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

/**
 * Bytes in one piece that grows: a list of chunks would hold on to memory of its own for every byte that a guest sends by
 * itself.
 */
export class GrowingBytes {
  #bytes: Buffer = Buffer.alloc(0);
  size = 0;

  add(chunk: Buffer): void {
    const size = this.size + chunk.length;
    if (this.size === 0) this.#bytes = chunk;
    else if (chunk.length > 0) {
      if (size > this.#bytes.length) this.#grow(size);
      chunk.copy(this.#bytes, this.size);
    }
    this.size = size;
  }

  /** Gives what was gathered and begins anew. */
  take(): Buffer {
    const bytes = this.#bytes.subarray(0, this.size);
    this.#bytes = Buffer.alloc(0);
    this.size = 0;
    return bytes;
  }

  #grow(size: number): void {
    const grown = Buffer.allocUnsafe(Math.max(size, this.size * 2));
    this.#bytes.copy(grown, 0, 0, this.size);
    this.#bytes = grown;
  }
}

/** What was read: all of the body, or its beginning when it is longer than the bound. */
export type BodyStart =
  | { readonly kind: "whole"; readonly bytes: Buffer; readonly trailers: HeaderList }
  | { readonly kind: "longer"; readonly first: readonly Buffer[] }
  | { readonly kind: "broken"; readonly fault: BodyFault };

/** Reads a body until it ends or goes beyond `limit`; then it is halted with the rest unread. */
export function readBodyStart(
  body: BodySource,
  limit: number,
  length?: number,
): Promise<BodyStart> {
  if (length !== undefined && length <= limit) return readKnown(body, length);
  return new Promise((resolve) => {
    const gathered = new GrowingBytes();
    let isOver = false;
    const sink: BodySink = {
      data: (chunk) => {
        gathered.add(chunk);
        if (gathered.size <= limit || isOver) return !isOver;
        isOver = true;
        resolve({ kind: "longer", first: [gathered.take()] });
        return false;
      },
      flush: () => undefined,
      end: (trailers) => resolve({ kind: "whole", bytes: gathered.take(), trailers }),
      fail: (fault) => resolve({ kind: "broken", fault }),
    };
    body.flow(sink);
  });
}

/** Reads a body whose length is known into one piece of memory. */
function readKnown(body: BodySource, length: number): Promise<BodyStart> {
  const bytes = Buffer.allocUnsafe(length);
  let size = 0;
  return new Promise((resolve) => {
    body.flow({
      data: (chunk) => {
        size += chunk.copy(bytes, size);
        return true;
      },
      flush: () => undefined,
      end: (trailers) => resolve({ kind: "whole", bytes: bytes.subarray(0, size), trailers }),
      fail: (fault) => resolve({ kind: "broken", fault }),
    });
  });
}
