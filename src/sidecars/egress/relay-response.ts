/**
 * Sends an upstream's answer to the guest as it comes, never collecting it. Invariant: no value that was put into the
 * request reaches the guest; an answer that cannot be read for that is not passed on.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable, Transform } from "node:stream";
import type { KnownSecrets } from "../../policy/dlp/known-secrets.ts";
import { createStreamMasker, type StreamMasker } from "../../policy/dlp/stream.ts";
import { type HeaderList, headerValues } from "../../policy/headers.ts";
import { codingsOf } from "./decode-body.ts";
import { flattenHeaders, withoutHeaders } from "./headers.ts";
import { MAX_SAMPLED_BODY_BYTES } from "./record.ts";

/** Alternative services would lead the guest around this proxy. */
const NEVER_RELAYED = ["alt-svc"];

export interface RelayOptions {
  /** Without those of the connection. */
  readonly headers: HeaderList;
  /** Values to mask; undefined where none were put in. */
  readonly secrets: KnownSecrets | undefined;
  readonly isHead: boolean;
  /** Gets the beginning of what was relayed, once. */
  readonly onSample: ((sample: Buffer) => void) | undefined;
}

/** Relays one answer. Resolves with an error when it could not be relayed to its end. */
export async function relayResponse(
  answer: IncomingMessage,
  response: ServerResponse,
  options: RelayOptions,
): Promise<Error | undefined> {
  const { secrets, isHead } = options;
  const codings = codingsOf(headerValues(options.headers, "content-encoding"));
  const isDecoded = secrets !== undefined && codings.length > 0 && hasBody(answer, isHead);
  const source = isDecoded ? decoded(answer, codings) : answer;
  if (source === undefined) {
    answer.destroy();
    return new Error("the answer came in an encoding that cannot be read");
  }
  const dropped = isDecoded ? ["content-encoding", "content-length"] : [];
  const kept = withoutHeaders(options.headers, [...NEVER_RELAYED, ...dropped]);
  response.sendDate = false;
  response.writeHead(answer.statusCode ?? 502, flattenHeaders(maskHeaders(kept, secrets)));
  // The first bytes follow at once or not for long; only then are the headers worth a packet of their own.
  setImmediate(() => {
    if (!response.writableEnded) response.flushHeaders();
  });
  const masker = secrets && createStreamMasker(secrets);
  return pump(source, response, { masker, sampler: createSampler(options.onSample) });
}

interface Sampler {
  take(bytes: Buffer): void;
  end(): void;
}

/** Collects the beginning of a stream and hands it on when there is enough of it, or no more. */
function createSampler(onSample: RelayOptions["onSample"]): Sampler | undefined {
  if (onSample === undefined) return undefined;
  const chunks: Buffer[] = [];
  let missing = MAX_SAMPLED_BODY_BYTES;
  let isOver = false;
  const end = (): void => {
    if (!isOver) onSample(Buffer.concat(chunks));
    isOver = true;
  };
  const take = (bytes: Buffer): void => {
    if (isOver) return;
    chunks.push(bytes.subarray(0, missing));
    missing -= bytes.length;
    if (missing <= 0) end();
  };
  return { take, end };
}

function hasBody(answer: IncomingMessage, isHead: boolean): boolean {
  return !isHead && answer.statusCode !== 204 && answer.statusCode !== 304;
}

function maskHeaders(headers: HeaderList, secrets: KnownSecrets | undefined): HeaderList {
  if (secrets === undefined) return headers;
  return headers.map(([name, value]) => {
    const masker = createStreamMasker(secrets);
    const masked = Buffer.concat([masker.push(Buffer.from(value, "latin1")), masker.end()]);
    return [name, masked.toString("latin1")] as const;
  });
}

/** Undoes the encoding that an upstream chose although it was asked for none. */
function decoded(answer: IncomingMessage, codings: readonly string[]): Readable | undefined {
  const [coding, ...more] = codings;
  const decoder = more.length > 0 || coding === undefined ? undefined : decoderOf(coding);
  if (decoder === undefined) return undefined;
  answer.on("error", (error) => decoder.destroy(error));
  answer.on("close", () => {
    if (!answer.complete) decoder.destroy(new Error("the answer was cut off"));
  });
  decoder.on("close", () => answer.destroy());
  return answer.pipe(decoder);
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

function pump(
  source: Readable,
  response: ServerResponse,
  { masker, sampler }: { masker: StreamMasker | undefined; sampler: Sampler | undefined },
): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const fail = (error: Error): void => {
      sampler?.end();
      response.destroy();
      resolve(error);
    };
    const write = (bytes: Buffer): void => {
      sampler?.take(bytes);
      if (bytes.length > 0 && !response.write(bytes)) source.pause();
    };
    source.on("data", (chunk: Buffer) => write(masker === undefined ? chunk : masker.push(chunk)));
    source.on("end", () => {
      const rest = masker?.end();
      sampler?.end();
      response.end(rest === undefined || rest.length === 0 ? undefined : rest);
      resolve(undefined);
    });
    source.on("error", fail);
    source.on("close", () => {
      if (!source.readableEnded) fail(new Error("the answer was cut off"));
    });
    response.on("drain", () => source.resume());
  });
}
