// The client hello parser against mutated hellos of a real TLS client: no throw, bounded, the same at any chunking.
import { once } from "node:events";
import { createServer } from "node:net";
import { connect } from "node:tls";
import fc from "fast-check";
import { beforeAll, expect, it } from "vitest";
import { parseClientHello } from "../../src/tls/client-hello.ts";

const SEED = 20_260_711;
let real: Buffer;

/** First bytes of Node's own client. */
beforeAll(async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const client = connect({
    host: "127.0.0.1",
    port,
    servername: "api.example.com",
    ALPNProtocols: ["http/1.1"],
  });
  client.on("error", () => undefined);
  const [socket] = await once(server, "connection");
  [real] = await once(socket, "data");
  socket.destroy();
  client.destroy();
  server.close();
});

it("reads the hello of a real client", () => {
  expect(parseClientHello(real)).toEqual({
    kind: "hello",
    serverName: "api.example.com",
    alpn: ["http/1.1"],
    hasEch: false,
  });
});

it("survives any mutation", () => {
  const edit = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
  const mutation = fc.tuple(fc.array(edit, { maxLength: 6 }), fc.nat(), fc.uint8Array());
  fc.assert(
    fc.property(mutation, ([edits, cut, tail]) => {
      const bytes = Buffer.from(real);
      for (const [at, value] of edits) bytes[at % bytes.length] = value;
      const mutated = Buffer.concat([bytes.subarray(0, cut % (bytes.length + 1)), tail]);
      const whole = parseClientHello(mutated);
      if (whole.kind === "hello" && whole.serverName !== undefined) {
        expect(whole.serverName).toMatch(/^[\x21-\x7e]{1,255}$/);
      }
      // A verdict on a beginning never changes when more bytes come.
      for (let length = 0; length < mutated.length; length += 37) {
        const early = parseClientHello(mutated.subarray(0, length));
        if (early.kind !== "need-more") expect(whole).toEqual(early);
      }
    }),
    { seed: SEED, numRuns: 4000 },
  );
});

it("survives noise", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
      const bytes = Buffer.concat([Buffer.from([22, 3, 1, 1, 0, 1]), noise]);
      expect(["need-more", "not-tls", "hello"]).toContain(parseClientHello(bytes).kind);
      expect(["need-more", "not-tls", "hello"]).toContain(
        parseClientHello(Buffer.from(noise)).kind,
      );
    }),
    { seed: SEED, numRuns: 5000 },
  );
});
