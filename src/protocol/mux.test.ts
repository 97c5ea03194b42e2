// The mux over an in-memory pair: order, back-pressure between streams, and what malformed input does.
import { duplexPair } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { describe, expect, it, vi } from "vitest";
import type { ProtocolError } from "../base/errors.ts";
import { encodeFrame, MAX_DATA_BYTES } from "./frame.ts";
import { type Mux, type MuxOptions, openMux } from "./mux.ts";
import type { Channel, ChannelHandlers } from "./mux-channel.ts";
import { MAX_WINDOW_BYTES } from "./mux-streams.ts";

type Message = { readonly n: number };
type TestMux = Mux<Message, Message>;

const decode = (value: unknown): Message | undefined =>
  typeof value === "object" && value !== null && "n" in value && typeof value.n === "number"
    ? { n: value.n }
    : undefined;

const quiet: ChannelHandlers<Message> = { onMessage: () => undefined };

/** An opening side and an answering side. */
function pair(
  accept: (channel: Channel<Message>, message: Message) => ChannelHandlers<Message>,
  options: Partial<MuxOptions<Message, Message>> = {},
): { owner: TestMux; guest: TestMux; faults: ProtocolError[] } {
  const [left, right] = duplexPair();
  const faults: ProtocolError[] = [];
  const onFault = (fault: ProtocolError): void => void faults.push(fault);
  const owner = openMux<Message, Message>(left, { decode, onFault, ...options });
  const guest = openMux<Message, Message>(right, {
    decode,
    onFault,
    onMessage: () => undefined,
    onChannel: accept,
  });
  return { owner, guest, faults };
}

/** An opening side whose peer is raw bytes. */
function raw(handlers: ChannelHandlers<Message> = quiet): {
  mux: TestMux;
  channel: Channel<Message>;
  send: (...frames: Buffer[]) => void;
  fault: Promise<ProtocolError | undefined>;
  end: () => void;
} {
  const [left, right] = duplexPair();
  const mux = openMux<Message, Message>(left, { decode, onMessage: () => undefined });
  const channel = mux.openChannel(handlers);
  right.resume();
  return {
    mux,
    channel,
    send: (...frames) => right.write(Buffer.concat(frames)),
    fault: mux.closed,
    end: () => right.end(),
  };
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe("channels", () => {
  it("carry messages in order and keep them apart", async () => {
    const seen: string[] = [];
    const { owner, guest } = pair((channel, first) => {
      seen.push(`${channel.id}:${first.n}`);
      return { onMessage: (message) => seen.push(`${channel.id}:${message.n}`) };
    });
    const one = owner.openChannel(quiet);
    const two = owner.openChannel(quiet);
    one.send({ n: 1 });
    two.send({ n: 2 });
    one.send({ n: 3 });
    await vi.waitFor(() => expect(seen).toEqual(["1:1", "2:2", "1:3"]));
    guest.destroy();
    expect(await owner.closed).toBeUndefined();
  });

  it("carry streams both ways, whole and ended, larger than any window", async () => {
    const size = 5 * MAX_WINDOW_BYTES + 17;
    const { owner } = pair((channel) => {
      channel.readable("stdin").pipe(channel.writable("stdout"));
      return quiet;
    });
    const channel = owner.openChannel(quiet);
    const sent = Buffer.alloc(size, "abcdefg");
    channel.send({ n: 0 });
    const back = buffer(channel.readable("stdout"));
    channel.writable("stdin").end(sent);
    expect((await back).equals(sent)).toBe(true);
  });

  it("lets one stalled stream stall nothing else, and keeps a bounded part of it", async () => {
    let produced = 0;
    const { owner } = pair((channel, first) => {
      const out = channel.writable("stdout");
      if (first.n === 1) {
        const more = (): void => {
          do produced += MAX_DATA_BYTES;
          while (out.write(Buffer.alloc(MAX_DATA_BYTES)));
          out.once("drain", more);
        };
        more();
      } else {
        out.end("quick");
        channel.writable("stderr").end("also");
      }
      return quiet;
    });
    const stalled = owner.openChannel(quiet);
    stalled.readable("stdout");
    stalled.send({ n: 1 });
    const quick = owner.openChannel(quiet);
    const [out, err] = [quick.readable("stdout"), quick.readable("stderr")];
    quick.send({ n: 2 });
    expect([await text(out), await text(err)]).toEqual(["quick", "also"]);
    expect(produced).toBeLessThan(4 * MAX_WINDOW_BYTES);
  });

  it("discard for a reader that went away, without stalling the writer", async () => {
    const size = 10 * MAX_WINDOW_BYTES;
    const { owner } = pair((channel) => {
      const out = channel.writable("stdout");
      out.once("finish", () => {
        channel.send({ n: 9 });
        channel.close();
      });
      out.end(Buffer.alloc(size));
      return quiet;
    });
    const last = new Promise<Message>((resolve) => {
      const channel = owner.openChannel({ onMessage: resolve });
      channel.readable("stdout").destroy();
      channel.send({ n: 0 });
    });
    expect(await last).toEqual({ n: 9 });
  });

  it("give their readers what arrived before they were closed", async () => {
    const { owner } = pair((channel) => {
      channel.writable("stdout").end("last words");
      channel.send({ n: 1 });
      channel.close();
      return quiet;
    });
    const channel: Channel<Message> = owner.openChannel({ onMessage: () => channel.close() });
    const out = channel.readable("stdout");
    channel.send({ n: 0 });
    expect(await text(out)).toBe("last words");
    expect(channel.writable("stdin").destroyed).toBe(true);
  });

  it("ignore what was under way to a channel that the answering side closed", async () => {
    const { owner, faults } = pair((channel) => {
      channel.readable("stdin");
      channel.send({ n: 1 });
      channel.close();
      return quiet;
    });
    const channel = owner.openChannel(quiet);
    channel.send({ n: 0 });
    channel.writable("stdin").write("late");
    channel.send({ n: 2 });
    const next = new Promise<Message>((resolve) =>
      owner.openChannel({ onMessage: resolve }).send({ n: 3 }),
    );
    expect(await next).toEqual({ n: 1 });
    expect(faults).toEqual([]);
  });

  it("are refused over the bound", () => {
    const { owner } = pair(() => quiet, { maxChannels: 2 });
    owner.openChannel(quiet);
    owner.openChannel(quiet).close();
    owner.openChannel(quiet);
    expect(() => owner.openChannel(quiet)).toThrow(/at most 2/);
  });
});

describe("the end of the connection", () => {
  it("settles everything outstanding without an unheard error", async () => {
    const { owner, guest } = pair((channel) => {
      channel.readable("stdin");
      return quiet;
    });
    const onLost = vi.fn<() => void>();
    const channel = owner.openChannel({ ...quiet, onLost });
    const out = channel.readable("stdout");
    channel.send({ n: 0 });
    const stdin = channel.writable("stdin");
    const written = new Promise((resolve) =>
      stdin.write(Buffer.alloc(3 * MAX_WINDOW_BYTES), resolve),
    );
    guest.destroy();
    expect(await text(out)).toBe("");
    expect(await written).toBeInstanceOf(Error);
    expect(onLost).toHaveBeenCalledOnce();
    expect(await owner.closed).toBeUndefined();
    expect(() => owner.openChannel(quiet)).toThrow(/gone/);
    channel.send({ n: 1 });
    owner.send({ n: 1 });
  });

  it("gives up a peer that reads nothing", async () => {
    const [left, right] = duplexPair();
    const mux = openMux<Message, Message>(left, { decode });
    right.pause();
    const big = { n: 1, filler: "x".repeat(1_000_000) };
    for (let sent = 0; sent < 20; sent += 1) mux.send(big);
    expect((await mux.closed)?.code).toBe("protocol.closed");
  });

  it("reaches the peer after what was queued", async () => {
    const seen: number[] = [];
    const [left, right] = duplexPair();
    const one = openMux<Message, Message>(left, { decode });
    const two = openMux<Message, Message>(right, { decode, onMessage: (it) => seen.push(it.n) });
    one.send({ n: 5 });
    one.end();
    await two.closed;
    expect(seen).toEqual([5]);
  });
});

describe("a peer that breaks the protocol loses the connection", () => {
  const over = Array.from({ length: 5 }, () =>
    encodeFrame("stdout", 1, Buffer.alloc(MAX_DATA_BYTES)),
  );
  const cases: readonly [string, readonly Buffer[]][] = [
    ["garbage", [Buffer.from("GET / HTTP/1.1\r\n\r\n")]],
    ["a message that is not JSON", [encodeFrame("message", 0, Buffer.from("{"))]],
    ["a message against the schema", [encodeFrame("message", 0, json({ n: "1" }))]],
    ["a message on a channel that is not open", [encodeFrame("message", 2, json({ n: 1 }))]],
    ["data on channel 0", [encodeFrame("stdout", 0, Buffer.from("x"))]],
    ["data on a stream that nobody reads", [encodeFrame("stderr", 1, Buffer.from("x"))]],
    ["more than the window", over],
    [
      "data after its end",
      [encodeFrame("stdout", 1, Buffer.alloc(0)), encodeFrame("stdout", 1, Buffer.from("x"))],
    ],
    ["credit for nothing", [encodeFrame("window", 1, Buffer.from([1, 0, 0, 1]))]],
    ["credit for an unknown stream", [encodeFrame("window", 1, Buffer.from([7, 0, 0, 1]))]],
    ["a short window frame", [encodeFrame("window", 1, Buffer.from([1]))]],
  ];

  it.each(cases)("%s", async (_, frames) => {
    const onLost = vi.fn<() => void>();
    const { channel, send, fault } = raw({ ...quiet, onLost });
    channel.readable("stdout");
    channel.writable("stdin");
    send(...frames);
    expect((await fault)?.kind).toBe("protocol");
    expect(onLost).toHaveBeenCalledOnce();
  });

  it("a frame cut off by the end", async () => {
    const { send, end, fault } = raw();
    send(encodeFrame("message", 0, json({ n: 1 })).subarray(0, 10));
    end();
    expect((await fault)?.code).toBe("protocol.closed");
  });

  it("a message that its handler does not take", async () => {
    const refuse = (): void => {
      throw new Error("no");
    };
    const { send, fault } = raw({ onMessage: refuse });
    send(encodeFrame("message", 1, json({ n: 1 })));
    expect((await fault)?.code).toBe("protocol.message");
  });
});

it("joins many tiny frames, so that a byte costs a byte", async () => {
  const arrived = Promise.withResolvers<Message>();
  const { channel, send } = raw({ onMessage: arrived.resolve });
  const out = channel.readable("stdout");
  send(...Array.from({ length: 100_000 }, () => encodeFrame("stdout", 1, Buffer.from("x"))));
  send(encodeFrame("stdout", 1, Buffer.alloc(0)), encodeFrame("message", 1, json({ n: 1 })));
  await arrived.promise;
  const chunks: Buffer[] = await out.toArray();
  expect(chunks.length).toBeLessThan(20);
  expect(Buffer.concat(chunks).length).toBe(100_000);
});
