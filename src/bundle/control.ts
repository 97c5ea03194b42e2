/**
 * The bundle's end of the control pipe: orders in, reports out. Invariant: end of file on the way in means that the owner
 * is gone, and nothing is accepted after it.
 */
import type { Readable, Writable } from "node:stream";
import { messageOf, ProtocolError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { type BundleOrder, type BundleReport, bundleOrderSchema } from "../protocol/bundle.ts";
import { encodeFrame, FrameDecoder } from "../protocol/frame.ts";

/** Reports that may wait for an owner that does not read; later events are dropped, for the audit file has them. */
export const MAX_QUEUED_REPORT_BYTES: number = 1024 * 1024;

/** Told what comes in. Exactly one of `onGone` and `onFault` is called, once, at the end. */
export interface ControlListener {
  onOrder(order: BundleOrder): void;
  /** The owner closed the pipe or died. */
  onGone(): void;
  /** The owner spoke wrongly. */
  onFault(error: ProtocolError): void;
}

/** Sends reports to the owner. */
export interface Control {
  send(report: BundleReport): void;
  /** Resolves when everything sent so far was handed to the system. */
  flush(): Promise<void>;
}

/** Reads orders from `input` and writes reports to `output`. */
export function openControl(input: Readable, output: Writable, listener: ControlListener): Control {
  const decoder = new FrameDecoder();
  let isOver = false;
  const end = (fault: ProtocolError | undefined): void => {
    if (isOver) return;
    isOver = true;
    input.destroy();
    if (fault === undefined) listener.onGone();
    else listener.onFault(fault);
  };
  input.on("data", (chunk: Buffer) => {
    try {
      for (const order of decodeOrders(decoder, chunk)) {
        if (!isOver) listener.onOrder(order);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      end(error);
    }
  });
  input.on("end", () => end(undefined));
  input.on("error", () => end(undefined));
  // A broken way out means the same as end of file on the way in, which follows by itself.
  output.on("error", () => end(undefined));
  return { send: (report) => sendReport(output, report), flush: () => flush(output) };
}

function decodeOrders(decoder: FrameDecoder, chunk: Buffer): BundleOrder[] {
  return decoder.push(chunk).map((frame) => {
    if (frame.kind !== "message" || frame.channel !== 0) {
      throw new ProtocolError(
        "protocol.message",
        `control pipe: a ${frame.kind} frame on channel ${frame.channel}; messages on channel 0 are expected`,
      );
    }
    return parseOrder(frame.payload);
  });
}

/** Parses one order. Throws ProtocolError that names the place of a fault, never a value: orders carry secrets. */
function parseOrder(payload: Buffer): BundleOrder {
  const result = bundleOrderSchema().safeParse(parseMessage(payload));
  if (result.success) return result.data;
  const places = result.error.issues.slice(0, 5).map((issue) => issue.path.join(".") || "kind");
  throw new ProtocolError(
    "protocol.message",
    `control pipe: an order is malformed at ${places.join(", ")}`,
  );
}

function parseMessage(payload: Buffer): unknown {
  try {
    return parseJson(payload.toString("utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // The parser's own message quotes its input, which may be a secret.
    throw new ProtocolError("protocol.message", "control pipe: a message is not JSON");
  }
}

function sendReport(output: Writable, report: BundleReport): void {
  const isOptional = report.kind === "event" || report.kind === "credential-refused";
  if (!output.writable || (isOptional && output.writableLength > MAX_QUEUED_REPORT_BYTES)) return;
  output.write(encodeFrame("message", 0, Buffer.from(JSON.stringify(report))));
}

function flush(output: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (!output.writable || output.writableLength === 0) resolve();
    else output.write("", () => resolve());
  });
}

/** The message of a start that failed, for the owner. */
export function failedReport(name: string, error: unknown): BundleReport {
  return { kind: "failed", name, message: messageOf(error) };
}
