/** A body with its content coding undone on the way: for answers that came encoded although they were asked not to. */
import type { Transform } from "node:stream";
import { BodyFault, type BodySink, type BodySource } from "./message.ts";

/** The decoded body; undefined where the codings cannot be undone as a stream. */
export function decodedSource(
  body: BodySource,
  codings: readonly string[],
): BodySource | undefined {
  const [coding, ...more] = codings;
  const decoder = more.length > 0 || coding === undefined ? undefined : decoderOf(coding);
  return decoder && new DecodedSource(body, decoder);
}

class DecodedSource implements BodySource {
  readonly #body: BodySource;
  readonly #decoder: Transform;

  constructor(body: BodySource, decoder: Transform) {
    this.#body = body;
    this.#decoder = decoder;
  }

  flow(sink: BodySink): void {
    const decoder = this.#decoder;
    const fail = (fault: BodyFault): void => {
      decoder.removeAllListeners("end").removeAllListeners("data");
      decoder.destroy();
      sink.fail(fault);
    };
    decoder.on("data", (chunk: Buffer) => {
      if (!sink.data(chunk)) decoder.pause();
      sink.flush();
    });
    decoder.once("end", () => sink.end([]));
    decoder.once("error", (error) => {
      this.#body.cancel();
      fail(new BodyFault("malformed", error.message));
    });
    decoder.on("drain", () => this.#body.resume());
    this.#body.flow({
      data: (chunk) => decoder.write(chunk),
      flush: () => undefined,
      end: () => void decoder.end(),
      fail,
    });
  }

  pause(): void {
    this.#decoder.pause();
  }

  resume(): void {
    this.#decoder.resume();
  }

  cancel(): void {
    this.#decoder.destroy();
    this.#body.cancel();
  }
}

function decoderOf(coding: string): Transform | undefined {
  const zlib = process.getBuiltinModule("node:zlib");
  switch (coding) {
    case "gzip":
    case "x-gzip":
      return zlib.createGunzip();
    case "deflate":
      return zlib.createInflate();
    case "br":
      return zlib.createBrotliDecompress();
    case "zstd":
      return zlib.createZstdDecompress();
    default:
      return undefined;
  }
}
