// A body on its way: what is judged is counted, because what it costs must not depend on how a guest cuts it.
import { describe, expect, it, vi } from "vitest";
import { compileKnownSecrets } from "../../policy/dlp/known-secrets.ts";
import { createStreamScanner, type StreamScanner } from "../../policy/dlp/stream.ts";
import type { Deny } from "../../policy/verdict.ts";
import { BodyStream } from "./http1/body-stream.ts";
import type { ForwardBody } from "./message.ts";
import { sendBody } from "./send-body.ts";

const SECRET = "tok-0123456789abcdefGHIJ";
const { detector } = compileKnownSecrets([{ name: "TOKEN", value: SECRET }]);

interface Sent {
  readonly source: BodyStream;
  readonly over: Promise<Deny | "ended">;
  text: string;
  judged: number;
  pauses: number;
}

function send(first: readonly Buffer[], hasRoom = (): boolean => true): Sent {
  const scanner = createStreamScanner("body", { detectors: [detector], placeholders: [] });
  const counted: StreamScanner = {
    push: (chunk) => {
      sent.judged += 1;
      return scanner.push(chunk);
    },
    end: () => scanner.end(),
  };
  const idle = { resume: () => undefined, discard: () => undefined };
  const source = new BodyStream({ ...idle, pause: () => (sent.pauses += 1) });
  const { promise: over, resolve, reject } = Promise.withResolvers<Deny | "ended">();
  const sent: Sent = { source, over, text: "", judged: 0, pauses: 0 };
  const upstream: ForwardBody = {
    write: (chunk) => {
      sent.text += chunk.toString("latin1");
      return hasRoom();
    },
    flush: () => undefined,
    end: () => resolve("ended"),
    reset: () => undefined,
  };
  const body = { kind: "stream", first, length: undefined, scanner: counted } as const;
  sendBody(source, body, {
    upstream,
    rule: "r",
    onFound: resolve,
    onBroken: reject,
    onFault: reject,
  });
  return sent;
}

describe("a streamed body", () => {
  it("in single bytes costs no search each", async () => {
    const sent = send([]);
    const text = "single bytes ".repeat(4000);
    for (const letter of text) sent.source.push(Buffer.from(letter));
    sent.source.finish([]);
    expect(await sent.over).toBe("ended");
    expect(sent.text).toBe(text);
    expect(sent.judged).toBeLessThan(10);
  });

  it("in a few bytes a turn waits a moment for more of them", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const sent = send([]);
      for (let turn = 0; turn < 200; turn += 1) {
        sent.source.push(Buffer.from("drop "));
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(sent.judged).toBe(1);
      vi.advanceTimersByTime(5);
      await new Promise((resolve) => setImmediate(resolve));
      expect(sent.judged).toBe(2);
      sent.source.finish([]);
      expect(await sent.over).toBe("ended");
      expect(sent.text).toBe("drop ".repeat(200));
    } finally {
      vi.useRealTimers();
    }
  });

  it("is halted while much of it waits to be judged", async () => {
    const sent = send([Buffer.alloc(2_000_000, "a ")]);
    for (let at = 0; at < 10; at += 1) sent.source.push(Buffer.alloc(65_536, "b "));
    expect(sent.pauses).toBeGreaterThan(0);
    sent.source.finish([]);
    expect(await sent.over).toBe("ended");
    expect(sent.text).toHaveLength(2_000_000 + 655_360);
  });

  it("ends with the refusal where a value ends, and never leaves whole", async () => {
    const sent = send([Buffer.from("some text and ")]);
    for (const letter of `${SECRET} more`) sent.source.push(Buffer.from(letter));
    expect(await sent.over).toMatchObject({ reason: "secret-found" });
    expect(sent.text).not.toContain(SECRET);
  });

  it("sends nothing after it was stopped", async () => {
    const sent = send([]);
    sent.source.push(Buffer.from(`text ${SECRET}`));
    sent.source.finish([]);
    expect(await sent.over).toMatchObject({ reason: "secret-found" });
    const { text } = sent;
    sent.source.push(Buffer.alloc(100_000, "c"));
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent.text).toBe(text);
  });
});
