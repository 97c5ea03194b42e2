// Egress as a guest sees it: who may be reached, with whose credential, and what never leaves.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { verifyAudit } from "../../src/protocol/audit-read.ts";
import { createAuthority } from "../../src/tls/authority.ts";
import { requires } from "../support/requires.ts";
import {
  type Ask,
  ask,
  askThrough,
  bearer,
  guestAuthority,
  type Harness,
  openTunnel,
  PLACEHOLDER,
  route,
  SCANNED,
  sendRaw,
  startEgress,
  TOKEN,
  Upstream,
} from "./egress-support/harness.ts";

const HOST = "api.example.test";
const PLAIN = "plain.example.test";
let upstream: Upstream;
let plain: Upstream;
let egress: Harness;

beforeEach(async () => {
  upstream = await new Upstream(HOST).listen();
  plain = await new Upstream(undefined).listen();
  const to = (port: number): { address: string; port: number } => ({ address: "127.0.0.1", port });
  egress = await startEgress({
    routes: [
      route(HOST, { auth: bearer }),
      route(PLAIN),
      route("*.wild.example.test"),
      route("localhost"),
      route("127.0.0.1"),
      route("rebind.example.test"),
      route("narrow.example.test", {
        matches: [{ paths: [{ kind: "prefix", value: "/ok" }], methods: ["GET"], headers: [] }],
      }),
    ],
    resolve: {
      [HOST]: to(upstream.port),
      [PLAIN]: to(plain.port),
      "narrow.example.test": to(plain.port),
      "metadata.example.test": { address: "169.254.169.254", port: 80 },
    },
    lookup: (name) =>
      Promise.resolve(
        name === "rebind.example.test" ? ["93.184.216.34", "127.0.0.1"] : ["127.0.0.1"],
      ),
  });
});

afterEach(async () => {
  await egress[Symbol.asyncDispose]();
  await upstream.close();
  await plain.close();
});

const api = (options: Ask = {}): ReturnType<typeof askThrough> =>
  askThrough(egress.door, HOST, options);
const http = (url: string, headers = ""): Promise<string> => {
  const host = /^https?:\/\/([^/]*)/.exec(url)?.[1] ?? "";
  return sendRaw(
    egress.door,
    `GET ${url} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${headers}\r\n`,
  );
};
const lastDeny = async (): Promise<string | undefined> =>
  (await egress.audit()).findLast((it) => it.verdict === "deny")?.reason;

describe("credentials", () => {
  it("puts the real token in for the placeholder, and for nothing", async () => {
    for (const headers of [{ authorization: `Bearer ${PLACEHOLDER}` }, {}]) {
      expect((await api({ headers })).status).toBe(200);
    }
    expect(upstream.seen.map((it) => it.headers.authorization)).toEqual([
      `Bearer ${TOKEN}`,
      `Bearer ${TOKEN}`,
    ]);
  });

  it("refuses any other credential, wherever it stands", async () => {
    const attempts: Ask[] = [
      { headers: { authorization: "Bearer sk-attacker-0000000000" } },
      { headers: { "x-api-key": "sk-attacker-0000000000" } },
      {
        headers: { authorization: `Bearer ${PLACEHOLDER}`, "x-api-key": "sk-attacker-0000000000" },
      },
      { path: "/?access_token=sk-attacker" },
    ];
    for (const attempt of attempts) {
      const answer = await api(attempt);
      expect(answer.status).toBe(403);
      expect(answer.body).toMatch(/^egress: foreign-credential: /);
    }
    expect(upstream.seen).toEqual([]);
  });

  it("refuses a placeholder at a host that is not its own", async () => {
    const answer = await http(`http://${PLAIN}/`, `X-Anything: ${PLACEHOLDER}\r\n`);
    expect(answer).toMatch(/^HTTP\/1.1 403 [\s\S]*egress: placeholder-elsewhere: /);
    expect(plain.seen).toEqual([]);
  });

  it("lets a placeholder in a body be plain text", async () => {
    const answer = await api({ method: "POST", body: `my key is ${PLACEHOLDER}` });
    expect(answer.status).toBe(200);
    expect(upstream.seen[0]?.body.toString()).toBe(`my key is ${PLACEHOLDER}`);
  });

  it("refuses plain http on a route with auth", async () => {
    expect(await http(`http://${HOST}/`)).toMatch(
      /^HTTP\/1.1 403 [\s\S]*egress: plain-http-credential: /,
    );
    expect(upstream.connections).toBe(0);
  });
});

describe("identity", () => {
  it("answers CONNECT to an unknown host with 403 and the way to ask for it", async () => {
    await expect(openTunnel(egress.door, "evil.test:443")).rejects.toThrow(
      /^HTTP\/1\.1 403 [\s\S]*\r\n\r\negress: host-not-allowed: [\s\S]*asked: CONNECT evil\.test:443[\s\S]*egress\.routes/,
    );
    expect(await lastDeny()).toBe("host-not-allowed");
  });

  it.each([
    "127.0.0.1:443",
    "localhost:443",
    "2130706433:443",
    "0x7f.1:443",
    "0177.0.0.1:443",
    "[::1]:443",
    "[::ffff:127.0.0.1]:443",
    "169.254.169.254:80",
    "metadata.example.test:443",
    "api.example.test:22",
    "api.example.test.evil.test:443",
    "xapi.example.test:443",
    "api.example.test\0.evil.test:443",
    "api.example.test@evil.test:443",
  ])("does not reach %j", async (authority) => {
    const answer = sendRaw(egress.door, `CONNECT ${authority} HTTP/1.1\r\nHost: x\r\n\r\n`, 1500);
    if (authority.startsWith("localhost")) {
      // The name has a route, so the refusal comes with the request, after the name was looked up.
      await answer;
      const inner = await askThrough(egress.door, "localhost");
      expect(inner.body).toMatch(/^egress: address-forbidden/);
      return;
    }
    expect(await answer).toMatch(/^HTTP\/1\.1 40[03] /);
    expect(upstream.connections + plain.connections).toBe(0);
  });

  it("takes other spellings of the same name for the same name", async () => {
    const answer = await askThrough(egress.door, HOST, { authority: "API.Example.TEST.:443" });
    expect(answer.status).toBe(200);
  });

  it("refuses a name when one of its addresses is not public", async () => {
    const answer = await askThrough(egress.door, "rebind.example.test");
    expect(answer.status).toBe(403);
    expect(answer.body).toMatch(/^egress: address-forbidden: /);
    expect(await lastDeny()).toBe("address-forbidden");
  });

  it("refuses a tunnel whose TLS names another server, or none", async () => {
    await expect(openTunnel(egress.door, `${HOST}:443`, "evil.test")).rejects.toThrow(
      /unrecognized name/i,
    );
    expect(await lastDeny()).toBe("authority-mismatch");
    // An address is never sent as a name, so this client names no server.
    await expect(openTunnel(egress.door, `${HOST}:443`, "")).rejects.toThrow();
    expect(upstream.connections).toBe(0);
  });

  it("refuses what is not TLS inside a tunnel", async () => {
    const text = await sendRaw(
      egress.door,
      `CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}\r\n\r\nGET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`,
    );
    expect(text).toMatch(/200 Connection Established[\s\S]*403|400/);
    expect(text).toContain("egress: bad-request");
    expect(upstream.connections).toBe(0);
  });

  it("refuses another Host header in the tunnel, and judges every request of a connection", async () => {
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    expect((await ask(socket, HOST)).status).toBe(200);
    const second = await ask(socket, HOST, { headers: { authorization: "Bearer foreign-000000" } });
    expect([second.status, second.body]).toEqual([
      403,
      expect.stringMatching(/^egress: foreign-credential/),
    ]);
    const third = await ask(socket, "evil.test");
    expect([third.status, third.body]).toEqual([
      403,
      expect.stringMatching(/^egress: authority-mismatch/),
    ]);
    expect((await ask(socket, HOST)).status).toBe(200);
    socket.destroy();
    expect(upstream.seen).toHaveLength(2);
  });

  it("matches on method and normalised path, and forwards the normalised path", async () => {
    expect(await http("http://narrow.example.test/ok/%61")).toMatch(/^HTTP\/1.1 200 /);
    expect(plain.seen[0]?.url).toBe("/ok/a");
    for (const path of [
      "/other",
      "/ok/../other",
      "/ok/%2e%2e/other",
      "/ok%2f..%2fother",
      "//ok",
      "/ok/..;/x",
    ]) {
      expect(await http(`http://narrow.example.test${path}`)).toMatch(/^HTTP\/1.1 40[03] /);
    }
    expect(plain.seen).toHaveLength(1);
  });

  it("is a proxy and no web server", async () => {
    expect(await http("/")).toMatch(/^HTTP\/1.1 400 /);
    expect(await http(`https://${HOST}/`)).toMatch(/^HTTP\/1.1 400 /);
    const other = `GET http://${PLAIN}/ HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n`;
    expect(await sendRaw(egress.door, other)).toMatch(/^HTTP\/1.1 403 [\s\S]*authority-mismatch/);
  });
});

describe("secrets in what leaves", () => {
  const base64 = Buffer.from(`xx${SCANNED}`).toString("base64");
  const percent = [...Buffer.from(SCANNED)].map((it) => `%${it.toString(16)}`).join("");
  const text = `log line\n${SCANNED}\n`;
  const packed = gzipSync(text);
  const twice = Buffer.concat([gzipSync("nothing"), deflateSync(text)]);
  const attempts: [string, Ask][] = [
    ["header", { headers: { "x-note": SCANNED } }],
    ["header, base64", { headers: { "x-note": base64 } }],
    ["cookie", { headers: { cookie: `a=${SCANNED}` } }],
    ["path", { path: `/${SCANNED}` }],
    ["query", { path: `/?q=${SCANNED}` }],
    ["query, percent", { path: `/?q=${percent}` }],
    ["body", { method: "POST", body: text }],
    ["body, base64", { method: "POST", body: base64 }],
    [
      "body, gzip",
      { method: "POST", headers: { "content-encoding": "gzip" }, body: gzipSync(text) },
    ],
    [
      "body, deflate",
      { method: "POST", headers: { "content-encoding": "deflate" }, body: deflateSync(text) },
    ],
    [
      "body, br",
      { method: "POST", headers: { "content-encoding": "br" }, body: brotliCompressSync(text) },
    ],
    [
      "body, zstd",
      { method: "POST", headers: { "content-encoding": "zstd" }, body: zstdCompressSync(text) },
    ],
    [
      "body, twice",
      {
        method: "POST",
        headers: { "content-encoding": "gzip, br" },
        body: brotliCompressSync(gzipSync(text)),
      },
    ],
    [
      "body, behind gzip",
      {
        method: "POST",
        headers: { "content-encoding": "gzip" },
        body: Buffer.concat([gzipSync("x"), Buffer.from(text)]),
      },
    ],
    ["body, zlib that nobody names", { method: "POST", body: deflateSync(text) }],
    ["body, base64 of gzip", { method: "POST", body: `{"a":"${packed.toString("base64")}"}` }],
    ["body, behind gzip that nobody names", { method: "POST", body: twice }],
    ["query, base64 of gzip", { path: `/?q=${packed.toString("base64url")}` }],
    ["the real token", { method: "POST", body: TOKEN }],
  ];

  it.each(attempts)("refuses one in %s", async (_name, attempt) => {
    const answer = await api(attempt);
    expect(answer.status).toBe(403);
    // What follows the end of a compressed stream is no part of it: refused either way.
    expect(answer.body).toMatch(/^egress: (secret-found|undecodable-body): /);
    expect(answer.body).not.toContain(SCANNED.slice(0, 12));
    expect([upstream.connections, upstream.seen]).toEqual([0, []]);
    expect(JSON.stringify(await egress.audit())).not.toContain(SCANNED.slice(0, 12));
  });

  it("refuses one in a host label before the name is looked up", async () => {
    const label = SCANNED.toLowerCase();
    await expect(openTunnel(egress.door, `${label}.wild.example.test:443`)).rejects.toThrow(
      /403[\s\S]*secret-found/,
    );
    expect(JSON.stringify(await egress.audit())).not.toContain(label);
  });

  it.each([
    ["unknown", Buffer.from("x")],
    ["gzip", Buffer.from("this is not gzip")],
    ["gzip", gzipSync(Buffer.alloc(40_000_000))],
  ])("refuses a body that cannot be judged: %s", async (coding, body) => {
    const answer = await api({ method: "POST", headers: { "content-encoding": coding }, body });
    expect([answer.status, answer.body]).toEqual([
      403,
      expect.stringMatching(/^egress: undecodable-body/),
    ]);
    expect(upstream.connections).toBe(0);
  });

  it("refuses an encoded body over the buffer", async () => {
    const body = Buffer.alloc(1_200_000, "x");
    const answer = await api({ method: "POST", headers: { "content-encoding": "gzip" }, body });
    expect(answer.body).toMatch(/^egress: body-too-large/);
    expect(upstream.connections).toBe(0);
  });

  it("cuts a long upload off before its secret is whole at the upstream", async () => {
    const body = Buffer.concat([
      Buffer.alloc(3_000_000, "a"),
      Buffer.from(SCANNED),
      Buffer.alloc(1000, "b"),
    ]);
    const answer = await api({ method: "POST", body });
    expect([answer.status, answer.body]).toEqual([
      403,
      expect.stringMatching(/^egress: secret-found/),
    ]);
    expect(upstream.seen).toEqual([]);
    expect(await lastDeny()).toBe("secret-found");
  });

  it("passes what only looks encoded", async () => {
    const body = gzipSync("nothing in here");
    expect(
      (await api({ method: "POST", headers: { "content-encoding": "gzip" }, body })).status,
    ).toBe(200);
    expect(upstream.seen[0]?.body).toEqual(body);
  });
});

describe("redaction", () => {
  it("masks with the same length in body, header and query, and says so in the audit log", async () => {
    await using redacting = await startEgress({
      routes: [route(HOST, { auth: bearer, outboundOnMatch: "redact" })],
      resolve: { [HOST]: { address: "127.0.0.1", port: upstream.port } },
    });
    const stars = "*".repeat(SCANNED.length);
    const answer = await askThrough(redacting.door, HOST, {
      method: "POST",
      path: `/x?q=${SCANNED}&r=1`,
      headers: { "x-note": `see ${SCANNED}` },
      body: `{"key":"${SCANNED}"}`,
    });
    expect(answer.status).toBe(200);
    const [seen] = upstream.seen;
    expect(seen?.url).toBe(`/x?q=${stars}&r=1`);
    expect(seen?.headers["x-note"]).toBe(`see ${stars}`);
    expect(seen?.body.toString()).toBe(`{"key":"${stars}"}`);
    expect((await redacting.audit()).at(-1)).toMatchObject({ verdict: "redact", path: "/x" });
    const gzipped = { "content-encoding": "gzip" };
    const blocked = await askThrough(redacting.door, HOST, {
      method: "POST",
      headers: gzipped,
      body: gzipSync(SCANNED),
    });
    expect(blocked.status).toBe(403);
  });
});

describe("upstreams", () => {
  it("refuses one that another authority vouches for", async () => {
    const stranger = createAuthority({ commonName: "stranger", now: Date.now() });
    const wrong = await new Upstream(HOST, stranger).listen();
    await using other = await startEgress({
      routes: [route(HOST, { auth: bearer })],
      resolve: { [HOST]: { address: "127.0.0.1", port: wrong.port } },
    });
    const answer = await askThrough(other.door, HOST);
    expect([answer.status, answer.body]).toEqual([
      403,
      expect.stringMatching(/^egress: upstream-untrusted: /),
    ]);
    expect(wrong.seen).toEqual([]);
    await wrong.close();
  });

  it("refuses one whose certificate is for another name", async () => {
    const wrong = await new Upstream("other.example.test").listen();
    await using other = await startEgress({
      routes: [route(HOST)],
      resolve: { [HOST]: { address: "127.0.0.1", port: wrong.port } },
    });
    expect((await askThrough(other.door, HOST)).body).toMatch(/^egress: upstream-untrusted: /);
    await wrong.close();
  });

  it("does not trust the guest's own authority upstream", async () => {
    const wrong = await new Upstream(HOST, guestAuthority).listen();
    await using other = await startEgress({
      routes: [route(HOST)],
      resolve: { [HOST]: { address: "127.0.0.1", port: wrong.port } },
    });
    expect((await askThrough(other.door, HOST)).status).toBe(403);
    await wrong.close();
  });

  it("hands redirects to the guest and follows none", async () => {
    upstream.handler = (_request, response) => {
      response.writeHead(302, { location: `http://${PLAIN}/stolen` });
      response.end();
    };
    expect((await api()).status).toBe(302);
    expect(plain.connections).toBe(0);
  });

  it("says so when one cannot be reached", async () => {
    await upstream.close();
    const answer = await api();
    expect([answer.status, answer.body]).toEqual([
      502,
      expect.stringMatching(/^egress: upstream-failed: /),
    ]);
    upstream = await new Upstream(HOST).listen();
  });

  it.each([false, true])("masks an echoed token, split over chunks: %s", async (isSplit) => {
    upstream.handler = (request, response) => {
      const text = `you sent ${request.headers.authorization ?? ""} to us`;
      response.writeHead(200, {
        "x-echo": request.headers.authorization ?? "",
        "alt-svc": 'h3=":443"',
      });
      if (!isSplit) {
        response.end(text);
        return;
      }
      const parts = text.split("");
      const next = (): void => {
        const part = parts.shift();
        if (part === undefined) response.end();
        else response.write(part, () => setImmediate(next));
      };
      next();
    };
    const answer = await api({ headers: { "accept-encoding": "gzip" } });
    const stars = "*".repeat(TOKEN.length);
    expect(answer.body).toBe(`you sent Bearer ${stars} to us`);
    expect(answer.headers["x-echo"]).toBe(`Bearer ${stars}`);
    expect(answer.headers["alt-svc"]).toBeUndefined();
    expect(upstream.seen[0]?.headers["accept-encoding"]).toBe("identity");
  });

  it("asks for no part of an answer, because two parts of an echo cannot be masked", async () => {
    upstream.handler = (request, response) => {
      const whole = Buffer.from(`token ${TOKEN}`);
      const start = Number(/bytes=(\d+)/.exec(request.headers.range ?? "")?.[1] ?? 0);
      response.writeHead(start === 0 ? 200 : 206);
      response.end(whole.subarray(start));
    };
    for (const name of ["range", "Range"]) {
      const answer = await api({ headers: { [name]: "bytes=12-", "if-range": '"x"' } });
      expect([answer.status, answer.body]).toEqual([200, `token ${"*".repeat(TOKEN.length)}`]);
    }
    expect(upstream.seen.at(-1)?.headers).not.toHaveProperty("if-range");
  });

  it("reads an encoded answer to mask in it, and refuses one it cannot read", async () => {
    const packed = gzipSync(`token ${TOKEN}`);
    const answers: Readonly<Record<string, readonly [string, Buffer]>> = {
      "/": ["gzip", packed],
      "/odd": ["odd", packed],
      "/twice": ["gzip, gzip", gzipSync(packed)],
      "/plain": ["gzip", Buffer.from("said to be packed, and is not")],
      "/other": ["br", packed],
    };
    upstream.handler = (request, response) => {
      const [coding, body] = answers[request.url ?? ""] ?? ["identity", packed];
      response.writeHead(200, { "content-encoding": coding });
      response.end(body);
    };
    const answer = await api();
    expect(answer.body).toBe(`token ${"*".repeat(TOKEN.length)}`);
    expect(answer.headers["content-encoding"]).toBeUndefined();
    for (const path of ["/odd", "/twice", "/plain", "/other"]) {
      const { status, body } = await api({ path });
      expect([status, body]).toEqual([
        502,
        expect.stringMatching(/^egress: upstream-failed: .* an encoding that cannot be read/),
      ]);
    }
  });
});

describe("audit", () => {
  it("is an intact chain with every decision, without queries", async () => {
    await api({ path: "/v1/x?private=1" });
    await api({ path: `/y?q=${SCANNED}` });
    await openTunnel(egress.door, "evil.test:443").catch(() => undefined);
    const lines = await egress.audit();
    expect(lines.map((it) => [it.kind, it.verdict, it.host, it.path, it.reason])).toEqual([
      ["connect", "allow", HOST, undefined, "allowed"],
      ["request", "allow", HOST, "/v1/x", "allowed"],
      ["connect", "allow", HOST, undefined, "allowed"],
      ["request", "deny", HOST, "/y", "secret-found"],
      ["connect", "deny", "evil.test", undefined, "host-not-allowed"],
    ]);
    expect(await verifyAudit(egress.auditPath)).toMatchObject({ ok: true, lines: 5 });
  });

  it("denies when a decision cannot be appended", async () => {
    await using full = await startEgress({
      routes: [route(HOST, { auth: bearer })],
      resolve: { [HOST]: { address: "127.0.0.1", port: upstream.port } },
      append: (event, file) => {
        if (event.kind === "request") throw new Error("no space left");
        file.append(event);
      },
    });
    const answer = await askThrough(full.door, HOST);
    expect([answer.status, answer.body]).toEqual([
      403,
      expect.stringMatching(/^egress: audit-failed: /),
    ]);
    expect(upstream.seen).toEqual([]);
  });
});

describe("a full disk", requires("root", "linux"), () => {
  const mounted = mkdtempSync(join(tmpdir(), "full-"));
  beforeAll(() => execFileSync("mount", ["-t", "tmpfs", "-o", "size=8k", "tmpfs", mounted]));
  afterAll(() => {
    execFileSync("umount", [mounted]);
    rmdirSync(mounted);
  });

  it("denies from the first decision on that cannot be written, and goes on when there is room again", async () => {
    await using full = await startEgress({
      routes: [route(HOST, { auth: bearer })],
      resolve: { [HOST]: { address: "127.0.0.1", port: upstream.port } },
      auditDirectory: mounted,
    });
    const socket = await openTunnel(full.door, `${HOST}:443`);
    expect((await ask(socket, HOST)).status).toBe(200);
    const before = upstream.seen.length;
    const ballast = join(mounted, "ballast");
    const room = statfsSync(mounted);
    writeFileSync(ballast, Buffer.alloc(room.bavail * room.bsize));
    let answer = await ask(socket, HOST, { path: `/${"a".repeat(1900)}` });
    for (let i = 0; answer.status === 200 && i < 20; i += 1) answer = await ask(socket, HOST);
    expect([answer.status, answer.body]).toEqual([
      403,
      expect.stringMatching(/^egress: audit-failed/),
    ]);
    const seen = upstream.seen.length;
    expect((await ask(socket, HOST)).status).toBe(403);
    expect(upstream.seen.length).toBe(seen);
    expect(seen - before).toBeLessThan(20);
    rmSync(ballast);
    expect((await ask(socket, HOST)).status).toBe(200);
    socket.destroy();
    expect(await verifyAudit(full.auditPath)).toMatchObject({ ok: true });
  });
});

describe("reload", () => {
  it("takes a new policy wholly or not at all, also for open connections", async () => {
    const { daemon, config } = egress;
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    expect((await ask(socket, HOST)).status).toBe(200);
    const broken = {
      ...config,
      policy: { ...config.policy, routes: [route("new.example.test")] },
      upstreamProxy: "ftp://x",
    };
    expect(await daemon.reload(broken)).toMatchObject({ ok: false });
    expect((await ask(socket, HOST)).status).toBe(200);
    const next = { ...config, policy: { ...config.policy, routes: [route("new.example.test")] } };
    expect(await daemon.reload(next)).toEqual({ ok: true });
    const answer = await ask(socket, HOST);
    expect([answer.status, answer.body]).toEqual([
      403,
      expect.stringMatching(/^egress: host-not-allowed/),
    ]);
    socket.destroy();
  });
});
