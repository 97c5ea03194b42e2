// Rules, credentials in bodies, budgets, introspection and reloads of a real egress daemon before a real upstream.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import type { Route } from "../../src/policy/egress.ts";
import {
  ask,
  askThrough,
  type Harness,
  type HarnessOptions,
  openTunnel,
  PLACEHOLDER,
  route,
  sendRaw,
  startEgress,
  TOKEN,
  Upstream,
} from "./egress-support/harness.ts";

const HOST = "api.example.test";
const auth = {
  carrier: { kind: "bearer" },
  slot: "EGRESS_TOKEN_0",
  placeholder: PLACEHOLDER,
  requirePlaceholder: false,
} as const;
let upstream: Upstream;
let egress: Harness;

beforeAll(async () => {
  upstream = await new Upstream(HOST).listen();
});
afterEach(async () => {
  await egress[Symbol.asyncDispose]();
  upstream.seen.splice(0);
});
afterAll(() => upstream.close());

async function open(
  more: Partial<Route> = {},
  options: Partial<HarnessOptions> = {},
): Promise<void> {
  egress = await startEgress({
    routes: [route(HOST, more)],
    resolve: { [HOST]: { address: "127.0.0.1", port: upstream.port } },
    ...options,
  });
}

const paths = (...list: Route["matches"][number]["paths"]): Route["matches"] => [
  { paths: list, methods: [], headers: [] },
];

describe("rules", () => {
  it("forward an escaped slash only where both readings are allowed", async () => {
    const list = paths(
      { kind: "glob", value: "/@*/*" },
      { kind: "glob", value: "/@*" },
      { kind: "prefix", value: "/half" },
    );
    await open({ matches: list });
    expect((await askThrough(egress.door, HOST, { path: "/@scope%2fname" })).status).toBe(200);
    expect(upstream.seen.map((it) => it.url)).toEqual(["/@scope%2Fname"]);
    const half = await askThrough(egress.door, HOST, { path: "/half%2fx" });
    expect(half.body).toMatch(/^egress: no-match: servers read the escaped slash/);
    const dots = await askThrough(egress.door, HOST, { path: "/@a%2f..%2fx" });
    expect(dots.body).toMatch(/^egress: bad-request/);
    expect(upstream.seen).toHaveLength(1);
  });

  it("match headers and paths by patterns, on the normalised path", async () => {
    const list: Route["matches"] = [
      {
        paths: [{ kind: "regex", value: "/v[0-9]+/items" }],
        methods: ["GET"],
        headers: [{ name: "x-mode", value: "a|b", kind: "regex" }],
      },
    ];
    await open({ matches: list });
    const send = async (path: string, mode: string): Promise<number> =>
      (await askThrough(egress.door, HOST, { path, headers: { host: HOST, "x-mode": mode } }))
        .status;
    expect(await send("/v%31/items", "a")).toBe(200);
    expect(await send("/v1/items", "ab")).toBe(403);
    expect(await send("/v1/items/x", "a")).toBe(403);
    expect(upstream.seen.map((it) => it.url)).toEqual(["/v1/items"]);
  });

  it("let a wildcard stand for one label, and an entry for the host itself win", async () => {
    const routes = [
      route("*.example.test"),
      route(HOST, { matches: paths({ kind: "exact", value: "/" }) }),
    ];
    await open({}, { routes });
    expect((await askThrough(egress.door, HOST, { path: "/other" })).status).toBe(403);
    await expect(openTunnel(egress.door, "a.b.example.test:443")).rejects.toThrow(
      "host-not-allowed",
    );
    await expect(openTunnel(egress.door, "example.test:443")).rejects.toThrow("host-not-allowed");
    const other = await openTunnel(egress.door, "other.example.test:443");
    other.destroy();
  });
});

describe("introspection", () => {
  it("shows the routes in the manifest's keys over http and https, and no value", async () => {
    await open({
      auth: { ...auth, variable: "API_KEY" },
      matches: paths({ kind: "prefix", value: "/v1" }),
      limits: { requests: 5, bytes: undefined },
    });
    const before = upstream.connections;
    const expected = {
      routes: [
        {
          host: HOST,
          auth: { scheme: "Bearer", token_ref: "API_KEY" },
          matches: [{ paths: [{ type: "prefix", value: "/v1" }] }],
          dlp: { outbound_on_match: "block" },
          limits: { requests: 5 },
        },
      ],
    };
    const secure = await askThrough(egress.door, "_egress.local", { path: "/allowlist" });
    expect([secure.status, secure.headers["content-type"]]).toEqual([200, "application/json"]);
    expect(JSON.parse(secure.body)).toEqual(expected);
    const plain = await sendRaw(
      egress.door,
      "GET http://_egress.local/allowlist HTTP/1.1\r\nHost: _egress.local\r\nConnection: close\r\n\r\n",
    );
    expect(JSON.parse(plain.slice(plain.indexOf("\r\n\r\n")))).toEqual(expected);
    expect(secure.body + plain).not.toContain(TOKEN);
    expect(secure.body + plain).not.toContain(PLACEHOLDER);
    const post = await askThrough(egress.door, "_egress.local", {
      path: "/allowlist",
      method: "POST",
    });
    expect(post.body).toMatch(/^egress: no-match/);
    expect(upstream.connections).toBe(before);
    const lines = await egress.audit();
    expect(lines.map((it) => [it.kind, it.verdict, it.rule])).toContainEqual([
      "request",
      "allow",
      "egress.introspection",
    ]);
  });
});

describe("a credential in a JSON body", () => {
  const json = { ...auth, carrier: { kind: "json", pointer: "/auth/key" } } as const;
  const post = (body: string, type = "application/json"): ReturnType<typeof askThrough> =>
    askThrough(egress.door, HOST, {
      method: "POST",
      headers: { host: HOST, "content-type": type },
      body,
    });

  it("takes the placeholder's place, or that of nothing, and leaves the rest as it was", async () => {
    await open({ auth: json });
    expect((await post(`{"n":12345678901234567890,"auth":{"key":"${PLACEHOLDER}"}}`)).status).toBe(
      200,
    );
    expect((await post("{}")).status).toBe(200);
    expect(upstream.seen.map((it) => it.body.toString())).toEqual([
      `{"n":12345678901234567890,"auth":{"key":"${TOKEN}"}}`,
      `{"auth":{"key":"${TOKEN}"}}`,
    ]);
    expect(upstream.seen[0]?.headers["content-length"]).toBe(String(upstream.seen[0]?.body.length));
  });

  it.each([
    ["another value", `{"auth":{"key":"mine"}}`, "foreign-credential"],
    ["a number", `{"auth":{"key":7}}`, "foreign-credential"],
    ["a twin in other case", `{"auth":{"key":"${PLACEHOLDER}","Key":"mine"}}`, "no-json-body"],
    ["no object above it", `{"auth":[]}`, "no-json-body"],
    ["no JSON", "auth=1", "no-json-body"],
    ["a list", "[]", "no-json-body"],
    ["a deep nest", "[".repeat(100_000), "no-json-body"],
    ["more than can be held", `{"x":"${"y".repeat(1_100_000)}"}`, "no-json-body"],
  ])("is refused beside %s", async (_, body, reason) => {
    await open({ auth: json });
    expect((await post(body)).body).toMatch(new RegExp(`^egress: ${reason}: `));
    expect(upstream.seen).toEqual([]);
  });

  it("is refused without a body or with one of another type", async () => {
    await open({ auth: json, scansOutbound: false });
    expect((await askThrough(egress.door, HOST)).body).toMatch(/^egress: no-json-body/);
    expect((await post("{}", "text/plain")).body).toMatch(/^egress: no-json-body/);
    expect((await post("{}")).status).toBe(200);
    expect(upstream.seen).toHaveLength(1);
  });
});

describe("budgets", () => {
  it("cut off after the last request, across a reload", async () => {
    await open({ limits: { requests: 2, bytes: undefined } });
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    expect((await ask(socket, HOST)).status).toBe(200);
    expect(await egress.daemon.reload(egress.config)).toEqual({ ok: true });
    expect((await ask(socket, HOST)).status).toBe(200);
    const answer = await ask(socket, HOST);
    expect([answer.status, answer.body]).toEqual([
      403,
      expect.stringMatching(/^egress: budget-spent: the 2 requests/),
    ]);
    socket.destroy();
    expect(upstream.seen).toHaveLength(2);
  });

  it("cut off a body that has no length where it goes beyond", async () => {
    await open({ limits: { requests: undefined, bytes: 3_000_000 } });
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    const chunk = `100000\r\n${"x".repeat(0x10_0000)}\r\n`;
    const head = `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const text = await sendRaw(socket, `${head}${chunk.repeat(4)}0\r\n\r\n`);
    expect(text).toContain("egress: budget-spent");
    expect(upstream.seen).toEqual([]);
    const long = await askThrough(egress.door, HOST, {
      method: "POST",
      body: "y".repeat(3_000_001),
    });
    expect(long.body).toMatch(/^egress: budget-spent/);
  });
});

describe("reload and renewal", () => {
  it("leave a running stream alone and judge what comes next anew", async () => {
    await open();
    const { handler } = upstream;
    let finish = (): void => undefined;
    upstream.handler = (request, response) => {
      request.resume();
      response.write("first\n");
      finish = () => void response.end("last\n");
    };
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    const next = await openTunnel(egress.door, `${HOST}:443`);
    const chunks: string[] = [];
    const begun = Promise.withResolvers<void>();
    const done = new Promise<void>((resolve) => {
      socket.on("data", (chunk: Buffer) => {
        chunks.push(chunk.toString());
        begun.resolve();
        if (chunks.join("").includes("last")) resolve();
      });
    });
    socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await begun.promise;
    const none = { ...egress.config, policy: { ...egress.config.policy, routes: [] } };
    expect(await egress.daemon.reload(none)).toEqual({ ok: true });
    expect((await ask(next, HOST)).body).toMatch(/^egress: host-not-allowed/);
    finish();
    await done;
    expect(chunks.join("")).toContain("first");
    upstream.handler = handler;
    socket.destroy();
    next.destroy();
  });

  it("put a renewed value in, mask the old one too, and report what was refused", async () => {
    const refused: string[] = [];
    await open(
      { auth },
      {
        config: { renewableSlots: ["EGRESS_TOKEN_0"] },
        onCredentialRefused: (slot) => refused.push(slot),
      },
    );
    const { handler } = upstream;
    upstream.handler = (request, response) => {
      request.resume();
      response.statusCode = request.headers.authorization?.includes("renewed") === true ? 200 : 401;
      response.end(`you are ${request.headers.authorization}, were ${TOKEN}\n`);
    };
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    const first = await ask(socket, HOST);
    expect([first.status, first.body.includes(TOKEN)]).toEqual([401, false]);
    expect((await ask(socket, HOST)).status).toBe(401);
    expect(refused).toEqual(["EGRESS_TOKEN_0"]);
    const renewed = "sk-renewed-0123456789abcdef";
    const values = { EGRESS_TOKEN_0: renewed, CANARY: "canary-Zq81LmN0pQr5TuVwXyZaBcDe" };
    const { CA_KEY_SLOT } = await import("../../src/policy/egress.ts");
    const { guestAuthority } = await import("./egress-support/harness.ts");
    const secrets = new Map(
      Object.entries({ ...values, [CA_KEY_SLOT]: guestAuthority.keyPem }).map(
        ([slot, value]) => [slot, new Secret(slot, value)] as const,
      ),
    );
    expect(await egress.daemon.reload(egress.config, secrets)).toEqual({ ok: true });
    const second = await ask(socket, HOST);
    expect([second.status, second.body.includes(renewed), second.body.includes(TOKEN)]).toEqual([
      200,
      false,
      false,
    ]);
    const leak = await askThrough(egress.door, HOST, { path: `/${TOKEN}` });
    expect(leak.body).toMatch(/^egress: secret-found/);
    upstream.handler = handler;
    socket.destroy();
  });
});
