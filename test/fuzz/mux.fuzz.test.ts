// Hostile bytes against the mux, the archive and the guest link: never an unheard error, never an unsettled promise.
import { duplexPair, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { expect, it } from "vitest";
import { BottleError } from "../../src/base/errors.ts";
import { parseGuestPath } from "../../src/base/ids.ts";
import { decodeArchive } from "../../src/protocol/archive.ts";
import { encodeFrame } from "../../src/protocol/frame.ts";
import { openMux } from "../../src/protocol/mux.ts";
import { openFakeGuest } from "../support/fake-guest.ts";

const SEED = 20_261_121;
const KINDS = ["message", "stdin", "stdout", "stderr", "window"] as const;

const report = fc.oneof(
  fc.record({ kind: fc.constant("started"), pid: fc.integer({ min: -1, max: 9 }) }),
  fc.record({
    kind: fc.constant("exited"),
    code: fc.option(fc.nat(300)),
    signal: fc.option(fc.constantFrom("SIGTERM", "SIGNOPE", "x")),
  }),
  fc.record({
    kind: fc.constant("failed"),
    code: fc.string({ maxLength: 8 }),
    message: fc.string(),
  }),
  fc.record({ kind: fc.constant("copied"), entries: fc.integer({ min: -1, max: 3 }) }),
  fc.record({ kind: fc.constant("probed"), answer: fc.string() }),
  fc.record({ kind: fc.constant("ready"), version: fc.nat(2), node: fc.string() }),
  fc.record({ kind: fc.constant("fault"), message: fc.string() }),
  fc.jsonValue(),
);

const payload = fc.oneof(
  report.map((it) => Buffer.from(JSON.stringify(it))),
  fc.uint8Array({ maxLength: 64 }).map((it) => Buffer.from(it)),
  fc
    .tuple(fc.nat(4), fc.nat(70_000))
    .map(([stream, bytes]) => Buffer.from([stream, bytes >> 16, (bytes >> 8) & 255, bytes & 255])),
);
/** Frames that a guest might send; most are well formed. */
const hostileFrame = fc
  .record({ kind: fc.constantFrom(...KINDS), channel: fc.nat(5), payload })
  .map((it) =>
    encodeFrame(it.kind, it.channel, it.kind === "window" ? it.payload.subarray(0, 4) : it.payload),
  );

it("any bytes end the connection or are kept, within bounds", async () => {
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), hostileFrame);
  const property = fc.asyncProperty(fc.array(bytes, { maxLength: 30 }), async (chunks) => {
    const [left, right] = duplexPair();
    const mux = openMux<unknown, unknown>(left, { decode: (it) => it, onMessage: () => undefined });
    const channel = mux.openChannel({ onMessage: () => undefined });
    const out = buffer(channel.readable("stdout"));
    channel.writable("stdin").write("x");
    right.resume();
    for (const chunk of chunks) right.write(chunk);
    right.end();
    const fault = await mux.closed;
    expect(fault === undefined || fault.kind === "protocol").toBe(true);
    expect((await out).length).toBeLessThan(10_000);
  });
  await fc.assert(property, { seed: SEED, numRuns: 300 });
});

it("any frames of a guest leave no promise of its owner unsettled", async () => {
  const property = fc.asyncProperty(fc.array(hostileFrame, { maxLength: 12 }), async (frames) => {
    const { guest, link: opening } = await openFakeGuest();
    const link = await opening;
    const path = parseGuestPath("/x");
    const work = [
      link.session({ argv: ["x"], env: {}, cwd: path, stdio: "pipe" }).then(async (it) => {
        it.stdin?.write("input");
        return Promise.all([
          it.exited,
          it.stdout && buffer(it.stdout),
          it.stderr && buffer(it.stderr),
        ]);
      }),
      drain(link.copyOut(path)),
      link.copyIn(path, []),
      link.probe({ type: "interfaces" }),
    ];
    for (const frame of frames) guest.socket.write(frame);
    guest.socket.end();
    for (const { reason } of (await Promise.allSettled(work)).filter(
      (it) => it.status === "rejected",
    )) {
      expect(reason).toBeInstanceOf(BottleError);
    }
    await link.closed;
  });
  await fc.assert(property, { seed: SEED, numRuns: 150 });
}, 30_000);

it("any first words of a guest give a link or one error", async () => {
  const property = fc.asyncProperty(report, async (first) => {
    const { guest, link } = await openFakeGuest(first);
    guest.socket.end();
    const opened = await link.then(
      (it) => it.closed,
      (error: unknown) => error,
    );
    expect(opened === undefined || opened instanceof BottleError).toBe(true);
  });
  await fc.assert(property, { seed: SEED, numRuns: 60 });
}, 30_000);

it("any archive gives plain relative paths or an error", async () => {
  const path = fc.oneof(
    fc.string(),
    fc
      .array(fc.constantFrom("..", ".", "", "a", "/", "\0", "é"), { maxLength: 6 })
      .map((it) => it.join("/")),
  );
  const entry = fc.oneof(
    fc.record({
      kind: fc.constant("entry"),
      type: fc.constantFrom("file", "directory", "symlink"),
      path,
      mode: fc.nat(0o7777),
      size: fc.nat(9),
      target: path,
    }),
    fc.jsonValue(),
  );
  const piece = fc.oneof(
    entry.map((it) => {
      const json = Buffer.from(JSON.stringify(it));
      const length = Buffer.alloc(4);
      length.writeUInt32BE(json.length);
      return Buffer.concat([length, json]);
    }),
    fc.uint8Array({ maxLength: 12 }).map((it) => Buffer.from(it)),
    fc.constant(Buffer.alloc(4)),
  );
  const property = fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
    try {
      for await (const item of decodeArchive(Readable.from(pieces))) {
        const segments = item.entry.path.split("/");
        expect(
          item.entry.path === "" || segments.every((it) => !["", ".", ".."].includes(it)),
        ).toBe(true);
      }
    } catch (error) {
      expect(error).toMatchObject({ code: "protocol.message" });
    }
  });
  await fc.assert(property, { seed: SEED, numRuns: 500 });
});

it("streams survive any cut of the wire whole", async () => {
  const property = fc.asyncProperty(
    fc.array(fc.uint8Array({ minLength: 1, maxLength: 3000 }), { maxLength: 20 }),
    fc.integer({ min: 1, max: 5000 }),
    async (chunks, step) => {
      const [left, right] = duplexPair();
      const cut = new Readable({ read: () => undefined });
      right.on("data", (bytes: Buffer) => {
        for (let at = 0; at < bytes.length; at += step) cut.push(bytes.subarray(at, at + step));
      });
      const received = new Promise<Buffer>((resolve) => {
        openMux<unknown, unknown>(
          { input: cut, output: right },
          {
            decode: (it) => it,
            onChannel: (channel) => {
              resolve(buffer(channel.readable("stdin")));
              return { onMessage: () => undefined };
            },
          },
        );
      });
      const mux = openMux<unknown, unknown>(left, { decode: (it) => it });
      const channel = mux.openChannel({ onMessage: () => undefined });
      channel.send({});
      const stdin = channel.writable("stdin");
      for (const chunk of chunks) stdin.write(chunk);
      stdin.end();
      expect((await received).equals(Buffer.concat(chunks))).toBe(true);
      mux.destroy();
    },
  );
  await fc.assert(property, { seed: SEED, numRuns: 60 });
});

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _item of items) continue;
}
