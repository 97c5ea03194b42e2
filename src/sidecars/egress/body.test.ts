// Reading bodies: in one piece of memory, however small the chunks are that they come in.
import { describe, expect, it } from "vitest";
import { GrowingBytes, readBodyStart } from "./body.ts";
import { BodyStream } from "./http1/body-stream.ts";

const newBody = (): BodyStream =>
  new BodyStream({ pause: () => undefined, resume: () => undefined, discard: () => undefined });

describe("readBodyStart", () => {
  it("gives single bytes as one piece", async () => {
    const body = newBody();
    const read = readBodyStart(body, 1000);
    for (const letter of "hello world") body.push(Buffer.from(letter));
    body.finish([]);
    expect(await read).toMatchObject({ kind: "whole", bytes: Buffer.from("hello world") });
  });

  it("gives the beginning of a longer body as one piece", async () => {
    const body = newBody();
    const read = readBodyStart(body, 1000);
    for (let at = 0; at < 1100; at += 1) body.push(Buffer.from([at & 0xff]));
    const start = await read;
    if (start.kind !== "longer") throw new Error("it is longer");
    expect(start.first.map(({ length }) => length)).toEqual([1001]);
  });
});

describe("growing bytes", () => {
  it("never write into a chunk that was given", () => {
    const bytes = new GrowingBytes();
    const given = Buffer.from("abc.....").subarray(0, 3);
    bytes.add(given);
    bytes.add(Buffer.alloc(0));
    bytes.add(Buffer.from("def"));
    expect(Buffer.from(given.buffer, given.byteOffset, 8).toString()).toBe("abc.....");
    expect([bytes.take().toString(), bytes.size, bytes.take().length]).toEqual(["abcdef", 0, 0]);
  });
});
