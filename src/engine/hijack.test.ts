import { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import type { EngineStream } from "./contract.ts";
import { splitStream } from "./hijack.ts";

const piece = (stream: number, content: string): Buffer => {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(content), 4);
  return Buffer.concat([header, Buffer.from(content)]);
};

/** A connection that gives `chunks` and then ends. */
function connectionOf(chunks: readonly Buffer[]): { split: EngineStream; connection: Duplex } {
  const left = [...chunks];
  const connection: Duplex = new Duplex({
    read: () => void connection.push(left.shift() ?? null),
    write: (_chunk, _encoding, done) => done(),
  });
  return { split: splitStream(connection), connection };
}

const both = ({ stdout, stderr }: EngineStream): Promise<[string, string]> =>
  Promise.all([text(stdout), text(stderr)]);

describe("splitStream", () => {
  it("splits the streams however the bytes are cut", async () => {
    const bytes = Buffer.concat([piece(1, "out"), piece(2, "err"), piece(1, ""), piece(1, "more")]);
    for (const size of [1, 3, 8, 11, bytes.length]) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
      expect(await both(connectionOf(chunks).split)).toEqual(["outmore", "err"]);
    }
  });

  it("gives the engine's own complaint with stderr", async () => {
    expect(await both(connectionOf([piece(3, "gone")]).split)).toEqual(["", "gone"]);
  });

  it("fails both streams at a number that is none", async () => {
    const { split, connection } = connectionOf([piece(7, "x")]);
    await expect(both(split)).rejects.toMatchObject({ code: "protocol.frame" });
    expect(connection.destroyed).toBe(true);
  });

  it("stops the connection while one of its readers stalls", async () => {
    const large = "x".repeat(200_000);
    const chunks = Array.from({ length: 20 }, () => piece(1, large));
    const { split, connection } = connectionOf(chunks);
    split.stderr.resume();
    await new Promise((resolve) => setImmediate(resolve));
    expect(connection.isPaused()).toBe(true);
    expect(split.stdout.readableLength).toBeLessThan(2 * large.length);
    expect((await text(split.stdout)).length).toBe(20 * large.length);
  });

  it("gives the connection up with its output", async () => {
    const { split, connection } = connectionOf([piece(1, "x")]);
    split.stdout.destroy();
    await new Promise((resolve) => connection.once("close", resolve));
    expect(connection.destroyed).toBe(true);
  });
});
