/** One request of HTTP/2 and its answer on the guest's side. */
import type { ServerHttp2Stream } from "node:http2";
import type { HeaderList } from "../../../policy/headers.ts";
import { isMethod } from "../../../policy/methods.ts";
import { isAllOf, TARGET } from "../http1/bytes.ts";
import { Malformed } from "../http1/fields.ts";
import {
  type AnswerHead,
  EMPTY_BODY,
  type Framing,
  type Incoming,
  NO_BODY,
  type Outgoing,
  STREAM_BODY,
} from "../message.ts";
import { lengthOf, readFields, renderFields } from "./fields.ts";
import { breakOff, http2 } from "./node-http2.ts";
import { type BodyWatch, streamBody } from "./stream-body.ts";

/** Reads the request that opened a stream. */
export function readRequest(
  stream: ServerHttp2Stream,
  opened: { readonly flat: readonly string[]; readonly isEnded: boolean },
  watch: BodyWatch,
): Incoming | Malformed {
  const { flat, isEnded } = opened;
  const fields = readFields(flat);
  if (fields instanceof Malformed) return fields;
  const line = readLine(fields.pseudo);
  if (line instanceof Malformed) return line;
  const { block } = fields;
  const length = lengthOf(block);
  if (length instanceof Malformed) return length;
  const framing = framingOf(length, isEnded);
  const hosts = [...line.authority, ...block.values("host")];
  const hasBody = framing.kind !== "none" && !isEnded;
  const expectsContinue = hasBody && block.has("expect");
  const body = hasBody ? streamBody(stream, length, watch) : EMPTY_BODY;
  const { method, target } = line;
  return { version: "2", method, target, hosts, block, framing, expectsContinue, body };
}

interface Line {
  readonly method: string;
  readonly target: string;
  readonly authority: readonly string[];
}

/** What the request line says in HTTP/1.1. */
function readLine(pseudo: ReadonlyMap<string, string>): Line | Malformed {
  const method = pseudo.get(":method") ?? "";
  const target = pseudo.get(":path") ?? "";
  const authority = pseudo.get(":authority");
  if (!isMethod(method)) return new Malformed("the method is not one of HTTP");
  if (pseudo.get(":scheme") !== "https") return new Malformed("the scheme is not https");
  if (target === "" || !isAllOf(TARGET, target, 0, target.length)) {
    return new Malformed("the path is empty or holds a byte that no path has");
  }
  return { method, target, authority: authority === undefined ? [] : [authority] };
}

function framingOf(length: number | undefined, isEnded: boolean): Framing {
  if (length !== undefined) return { kind: "length", length };
  return isEnded ? NO_BODY : STREAM_BODY;
}

/** The answer on a stream. */
export class GuestStream implements Outgoing {
  isHeadSent = false;
  isOver = false;
  onDrain: (() => void) | undefined;
  onGone: (() => void) | undefined;
  onOver: (() => void) | undefined;
  readonly #stream: ServerHttp2Stream;
  #trailers: HeaderList = [];

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
    stream.on("drain", () => this.onDrain?.());
    stream.on("wantTrailers", () => stream.sendTrailers(renderFields(this.#trailers)));
    // What is wrong with a stream shows in its closing.
    stream.on("error", () => stream.close());
    stream.on("close", () => this.#closed());
  }

  interim(status: number, headers: HeaderList): void {
    if (this.isOver || this.isHeadSent || this.#stream.closed) return;
    this.#stream.additionalHeaders({ ":status": status, ...renderFields(headers) });
  }

  head({ status, headers, framing }: AnswerHead): void {
    this.isHeadSent = true;
    if (this.isOver || this.#stream.closed) return;
    const fields = renderFields(headers);
    if (framing.kind === "length") fields["content-length"] = String(framing.length);
    this.#stream.respond(
      { ":status": status, ...fields },
      { waitForTrailers: framing.kind === "stream", endStream: false },
    );
  }

  write(chunk: Buffer): boolean {
    if (this.isOver || this.#stream.destroyed || this.#stream.writableEnded) return true;
    return chunk.length === 0 || this.#stream.write(chunk);
  }

  flush(): void {
    // The library gathers what is written.
  }

  end(trailers: HeaderList): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#trailers = trailers;
    if (!this.#stream.writableEnded) this.#stream.end();
    this.onOver?.();
  }

  reset(): void {
    if (this.isOver) return;
    this.isOver = true;
    breakOff(this.#stream, http2().constants.NGHTTP2_INTERNAL_ERROR);
    this.onOver?.();
  }

  switchProtocols(): undefined {
    return undefined;
  }

  closeAfter(): void {
    // Streams end by themselves; the session goes on.
  }

  #closed(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.onGone?.();
    this.onOver?.();
  }
}
