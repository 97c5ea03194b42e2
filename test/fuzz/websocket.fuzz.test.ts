// The frame reader against noise and against frames of its own writer: no throw, the same at any chunking, nothing lost.
import fc from "fast-check";
import { expect, it } from "vitest";
import { encodeFrame, FrameReader, OPCODES } from "../../src/sidecars/egress/websocket/frames.ts";

const SEED = 20_260_711;

interface Seen {
  readonly messages: string[];
  readonly controls: string[];
  fault: string | undefined;
}

function read(bytes: Buffer, isMasked: boolean, cuts: readonly number[]): Seen {
  const seen: Seen = { messages: [], controls: [], fault: undefined };
  let message = "";
  const reader = new FrameReader(isMasked, {
    data: (opcode, part, isLast) => {
      message += part.toString("latin1");
      if (!isLast) return;
      seen.messages.push(`${opcode} ${message}`);
      message = "";
    },
    control: (opcode, payload) => seen.controls.push(`${opcode} ${payload.toString("latin1")}`),
  });
  let at = 0;
  const places = [...cuts.map((it) => it % (bytes.length + 1)), bytes.length];
  for (const cut of places.toSorted((a, b) => a - b)) {
    if (cut > at && seen.fault === undefined) seen.fault = reader.feed(bytes.subarray(at, cut));
    at = Math.max(at, cut);
  }
  return seen;
}

const payload = fc.uint8Array({ maxLength: 300 }).map((it) => Buffer.from(it));
const cuts = fc.array(fc.nat(), { maxLength: 10 });

it("gives back what was written, at any chunking", () => {
  const message = fc.array(payload, { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 4 }),
      fc.boolean(),
      cuts,
      (messages, isMasked, at) => {
        const mask = isMasked ? Buffer.from([1, 2, 3, 4]) : undefined;
        const frames = messages.flatMap((parts) =>
          parts.map((part, index) => {
            const opcode = index === 0 ? OPCODES.binary : OPCODES.continuation;
            return encodeFrame({ opcode, isFinal: index === parts.length - 1 }, part, mask);
          }),
        );
        const seen = read(Buffer.concat(frames), isMasked, at);
        const wanted = messages.map((parts) => `2 ${Buffer.concat(parts).toString("latin1")}`);
        expect(seen).toEqual({ messages: wanted, controls: [], fault: undefined });
      },
    ),
    { seed: SEED, numRuns: 1500 },
  );
});

it("says the same of noise at any chunking", () => {
  const noise = fc.array(
    fc.oneof(fc.constantFrom(0x81, 0x82, 0x80, 0x02, 0x89, 0x88), fc.nat(255)),
    { maxLength: 200 },
  );
  fc.assert(
    fc.property(noise, fc.boolean(), cuts, (bytes, isMasked, at) => {
      const buffer = Buffer.from(bytes);
      expect(read(buffer, isMasked, at)).toEqual(read(buffer, isMasked, []));
    }),
    { seed: SEED, numRuns: 4000 },
  );
});
