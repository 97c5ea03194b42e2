import { PassThrough, Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import type { BundleOrder } from "../protocol/bundle.ts";
import { encodeFrame } from "../protocol/frame.ts";
import { openControl } from "./control.ts";

interface Seen {
  readonly orders: BundleOrder[];
  readonly ends: string[];
}

function listen(
  output: Writable = new PassThrough(),
): Seen & { input: PassThrough; control: ReturnType<typeof openControl> } {
  const seen: Seen = { orders: [], ends: [] };
  const input = new PassThrough();
  const control = openControl(input, output, {
    onOrder: (order) => seen.orders.push(order),
    onGone: () => seen.ends.push("gone"),
    onFault: (error) => seen.ends.push(error.message),
  });
  return { ...seen, input, control };
}

const frame = (message: unknown): Buffer =>
  encodeFrame("message", 0, Buffer.from(JSON.stringify(message)));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("the control pipe", () => {
  it("takes orders in pieces and says once that the owner is gone", async () => {
    const { input, orders, ends } = listen();
    const bytes = frame({ kind: "stop", deadlineMs: 5 });
    for (const byte of bytes) input.write(Buffer.of(byte));
    input.end();
    await turn();
    await turn();
    expect(orders).toEqual([{ kind: "stop", deadlineMs: 5 }]);
    expect(ends).toEqual(["gone"]);
  });

  it.each([
    ["an unknown order", frame({ kind: "dance" })],
    ["an order with too much in it", frame({ kind: "stop", deadlineMs: 5, more: 1 })],
    ["a message that is not JSON", encodeFrame("message", 0, Buffer.from("top-secret-value"))],
    ["data", encodeFrame("stdin", 0, Buffer.from("top-secret-value"))],
    ["another channel", encodeFrame("message", 7, Buffer.from("{}"))],
    ["an endless frame", Buffer.from([255, 255, 255, 255, 0, 0, 0, 0, 0])],
  ])("ends at %s, without repeating it", async (_name, bytes) => {
    const { input, orders, ends } = listen();
    input.write(bytes);
    input.write(frame({ kind: "stop", deadlineMs: 5 }));
    await turn();
    expect(orders).toEqual([]);
    expect(ends).toHaveLength(1);
    expect(ends[0]).not.toContain("top-secret");
  });

  it("drops events, and nothing else, for an owner that does not read", () => {
    const stuck = new Writable({ highWaterMark: 1, write: () => undefined });
    const { control } = listen(stuck);
    const event = { kind: "request", detail: "x".repeat(900) } as const;
    for (let index = 0; index < 3000; index += 1) control.send({ kind: "event", event });
    const held = stuck.writableLength;
    expect(held).toBeLessThan(1.1 * 1024 * 1024);
    control.send({ kind: "ready", daemons: [] });
    expect(stuck.writableLength).toBeGreaterThan(held);
  });
});
