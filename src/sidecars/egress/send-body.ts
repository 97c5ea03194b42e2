/** Sends a body upstream as it was judged, with back-pressure. A finding ends it without an end, so that it cannot pass for whole. */
import type { ClientRequest, IncomingMessage } from "node:http";
import type { StreamScanner } from "../../policy/dlp/stream.ts";
import type { Deny } from "../../policy/verdict.ts";
import type { Scanned } from "./context.ts";
import { found } from "./scan.ts";

/** Sends the body of a judged request. Resolves with the refusal when something is found on the way. */
export async function sendBody(
  asked: Scanned,
  request: IncomingMessage,
  upstream: ClientRequest,
): Promise<Deny | undefined> {
  const { body } = asked;
  switch (body.kind) {
    case "none":
      upstream.end();
      return undefined;
    case "whole":
      upstream.end(body.bytes);
      return undefined;
    case "stream": {
      const sink = { upstream, scanner: body.scanner, rule: asked.route.rule };
      for (const chunk of body.first) {
        const verdict = write(sink, chunk);
        if (verdict !== undefined) return verdict;
      }
      return pump(request, sink);
    }
  }
}

interface Sink {
  readonly upstream: ClientRequest;
  readonly scanner: StreamScanner | undefined;
  readonly rule: string;
}

/** Judges and writes one chunk; `undefined` stands for the end. */
function write({ upstream, scanner, rule }: Sink, chunk: Buffer | undefined): Deny | undefined {
  const empty = Buffer.alloc(0);
  const judged =
    scanner === undefined
      ? { safe: chunk ?? empty, finding: undefined }
      : chunk === undefined
        ? scanner.end()
        : scanner.push(chunk);
  if (judged.finding !== undefined) return found(judged.finding, rule);
  if (judged.safe.length > 0 && !upstream.destroyed) upstream.write(judged.safe);
  return undefined;
}

function pump(request: IncomingMessage, sink: Sink): Promise<Deny | undefined> {
  const { upstream } = sink;
  return new Promise((resolve) => {
    const finish = (verdict: Deny | undefined): void => {
      request.off("data", onData).off("end", onEnd).off("close", onClose);
      upstream.off("drain", onDrain).off("close", onGone);
      resolve(verdict);
    };
    const onData = (chunk: Buffer): void => {
      const verdict = write(sink, chunk);
      if (verdict !== undefined) finish(verdict);
      else if (upstream.writableNeedDrain) request.pause();
    };
    const onDrain = (): void => void request.resume();
    const onEnd = (): void => {
      const verdict = write(sink, undefined);
      if (verdict === undefined) upstream.end();
      finish(verdict);
    };
    const onClose = (): void => {
      // The guest went away in the middle: what the upstream has must not look like a whole body.
      if (!request.complete) upstream.destroy();
      finish(undefined);
    };
    const onGone = (): void => {
      // Nobody takes the rest; reading on lets the answer through to a guest that is still sending.
      request.resume();
      finish(undefined);
    };
    if (request.destroyed) {
      onClose();
      return;
    }
    request.on("data", onData).on("end", onEnd).on("close", onClose);
    upstream.on("drain", onDrain).on("close", onGone);
    request.resume();
  });
}
