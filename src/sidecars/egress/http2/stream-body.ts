/** The body that comes in on a stream of HTTP/2, as a source. Nothing is read before somebody takes it. */
import type { Http2Stream } from "node:http2";
import type { HeaderList } from "../../../policy/headers.ts";
import { BodyStream } from "../http1/body-stream.ts";
import { Malformed } from "../http1/fields.ts";
import { BodyFault, type BodySource } from "../message.ts";
import { readFields } from "./fields.ts";

/** Told what becomes of a body. */
export interface BodyWatch {
  /** Bytes came. */
  onProgress(): void;
  /** Nobody wants the rest. */
  onCancel(): void;
  /** The sender ended the message; where nobody knows, the library's word counts. */
  isEndSeen?(): boolean;
}

/** Makes the source of a stream; `length` is what was announced. */
export function streamBody(
  stream: Http2Stream,
  length: number | undefined,
  watch: BodyWatch,
): BodySource {
  let trailers: HeaderList = [];
  let size = 0;
  let isFlowing = false;
  const start = (): void => {
    if (isFlowing) return;
    isFlowing = true;
    stream.on("data", (chunk: Buffer) => {
      watch.onProgress();
      size += chunk.length;
      body.push(chunk);
      body.settle();
    });
    stream.on("end", () => {
      // The library ends what can be read also when a stream is reset.
      const isReset = stream.aborted || stream.rstCode !== 0 || stream.destroyed;
      const isWhole = !isReset && watch.isEndSeen?.() !== false;
      if (isWhole && (length ?? size) === size) body.finish(trailers);
      else body.break(new BodyFault("aborted", "the stream was reset"));
    });
  };
  const body = new BodyStream({
    pause: () => void stream.pause(),
    resume: () => {
      start();
      stream.resume();
    },
    discard: () => watch.onCancel(),
  });
  stream.on("trailers", (_headers, _flags, raw) => {
    const fields = readFields(raw ?? []);
    if (!(fields instanceof Malformed)) trailers = fields.block.list;
  });
  stream.on("aborted", () => body.break(new BodyFault("aborted", "the stream was reset")));
  stream.on("close", () => body.break(new BodyFault("aborted", "the stream was closed")));
  return body;
}
