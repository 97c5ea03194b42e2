import { describe, expect, it } from "vitest";
import { closePayload, encodeFrame, FrameReader, isClosePayload, OPCODES } from "./frames.ts";

const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

function read(bytes: Buffer, isMasked: boolean, size = bytes.length): string[] {
  const seen: string[] = [];
  const reader = new FrameReader(isMasked, {
    data: (opcode, part, isLast) => {
      if (part.length > 0 || isLast) seen.push(`${opcode}:${part.toString()}${isLast ? "." : ""}`);
    },
    control: (opcode, payload) => seen.push(`control ${opcode}:${payload.toString()}`),
  });
  for (let at = 0; at < bytes.length; at += size) {
    const fault = reader.feed(bytes.subarray(at, at + size));
    if (fault !== undefined) return [...seen, `fault: ${fault}`];
  }
  return seen;
}

const frame = (
  opcode: number,
  text: string,
  isFinal = true,
  mask: Buffer | undefined = MASK,
): Buffer => encodeFrame({ opcode, isFinal }, Buffer.from(text), mask);

describe("frames", () => {
  it("are those of the standard's examples", () => {
    expect(frame(OPCODES.text, "Hello").toString("hex")).toBe("818537fa213d7f9f4d5158");
    expect(
      encodeFrame({ opcode: 1, isFinal: true }, Buffer.from("Hello"), undefined).toString("hex"),
    ).toBe("810548656c6c6f");
  });

  it.each([0, 1, 125, 126, 127, 65_535, 65_536, 70_000])(
    "carry %i bytes there and back",
    (size) => {
      const text = "x".repeat(size);
      for (const mask of [MASK, undefined]) {
        const bytes = encodeFrame(
          { opcode: OPCODES.binary, isFinal: true },
          Buffer.from(text),
          mask,
        );
        expect(read(bytes, mask !== undefined)).toEqual([`2:${text}.`]);
      }
    },
  );

  it.each([1, 2, 3, 100])("are read in pieces of %i bytes", (size) => {
    const bytes = Buffer.concat([
      frame(OPCODES.text, "in ", false),
      frame(OPCODES.ping, "now"),
      frame(OPCODES.continuation, "two", true),
      frame(OPCODES.close, "\x03\xe8"),
    ]);
    const seen = read(bytes, true, size);
    expect(seen.filter((it) => it.startsWith("control"))).toHaveLength(2);
    const text = seen
      .filter((it) => it.startsWith("1:"))
      .map((it) => it.slice(2))
      .join("");
    expect(text).toBe("in two.");
  });

  it.each([
    ["no mask", encodeFrame({ opcode: 1, isFinal: true }, Buffer.from("a"), undefined)],
    ["a reserved bit", Buffer.from([0xc1, 0x80, 0, 0, 0, 0])],
    ["an unknown opcode", Buffer.from([0x83, 0x80, 0, 0, 0, 0])],
    ["an unknown control opcode", Buffer.from([0x8b, 0x80, 0, 0, 0, 0])],
    [
      "a length that is not the shortest, of 16 bits",
      Buffer.from([0x81, 0xfe, 0, 125, 0, 0, 0, 0]),
    ],
    [
      "a length that is not the shortest, of 64 bits",
      Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0]),
    ],
    ["a length of 2^63", Buffer.from([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
    ["a ping in parts", Buffer.from([0x09, 0x80, 0, 0, 0, 0])],
    ["a long ping", frame(OPCODES.ping, "x".repeat(126))],
    ["a continuation of nothing", frame(OPCODES.continuation, "a")],
    ["a message inside another", Buffer.concat([frame(1, "a", false), frame(1, "b")])],
  ])("are refused with %s", (_name, bytes) => {
    for (const size of [1, 1000]) expect(read(bytes, true, size).at(-1)).toMatch(/^fault: /);
  });

  it("of one message are refused when they are many and small, and taken when they carry something", () => {
    const parts = (size: number, count: number): Buffer =>
      Buffer.concat(
        Array.from({ length: count }, (_, at) => frame(at === 0 ? 1 : 0, "x".repeat(size), false)),
      );
    for (const size of [0, 1, 20]) {
      expect(read(parts(size, 2000), true).at(-1)).toMatch(/^fault: .*too many small frames/);
    }
    expect(read(parts(100, 20_000), true).at(-1)).toBe(`1:${"x".repeat(100)}`);
    const messages = Buffer.concat(Array.from({ length: 5000 }, () => frame(1, "x")));
    expect(read(messages, true)).toHaveLength(5000);
  });

  it("of a server are refused with a mask", () => {
    expect(read(frame(1, "a"), false)).toEqual(["fault: a frame is masked the wrong way"]);
  });

  it("end with a code that may be sent", () => {
    expect(closePayload(1008, "why").toString("hex")).toBe("03f0776879");
    for (const code of [1000, 1001, 1008, 1011, 3000, 4999]) {
      expect(isClosePayload(closePayload(code, ""))).toBe(true);
    }
    for (const code of [0, 999, 1004, 1005, 1006, 1015, 2999, 5000]) {
      expect(isClosePayload(closePayload(code, ""))).toBe(false);
    }
    expect(isClosePayload(Buffer.alloc(0))).toBe(true);
    expect(isClosePayload(Buffer.from([3]))).toBe(false);
    expect(isClosePayload(Buffer.from([3, 0xe8, 0xff]))).toBe(false);
    expect(closePayload(1000, "x".repeat(500)).length).toBeLessThanOrEqual(125);
  });
});
