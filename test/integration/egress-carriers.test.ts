// What stands beside the one credential: words of an upstream that repeat it, other credentials, other methods and paths.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  askThrough,
  bearer,
  type Harness,
  openTunnel,
  PLACEHOLDER,
  route,
  sendRaw,
  startEgress,
  TOKEN,
  Upstream,
} from "./egress-support/harness.ts";

const HOST = "api.example.test";

let upstream: Upstream;
let egress: Harness;

beforeEach(async () => {
  upstream = await new Upstream(HOST).listen();
  egress = await startEgress({
    routes: [
      route(HOST, {
        auth: bearer,
        matches: [{ paths: [{ kind: "prefix", value: "/" }], methods: ["GET"], headers: [] }],
      }),
    ],
    resolve: { [HOST]: { address: "127.0.0.1", port: upstream.port } },
  });
});

afterEach(async () => {
  await egress[Symbol.asyncDispose]();
  await upstream.close();
});

describe("an answer's own words", () => {
  it("do not carry the value that was put in, neither as reason nor as a header's name", async () => {
    upstream.handler = (_request, response) => {
      response.writeEarlyHints({ link: "</a>", [`X-Early-${TOKEN}`]: "1" });
      response.writeHead(401, `bad token ${TOKEN}`, { [`X-${TOKEN}`]: "1", "X-Kept": "yes" });
      response.end("no");
    };
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    const text = await sendRaw(
      socket,
      `GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`,
    );
    expect(text.toLowerCase()).not.toContain(TOKEN);
    expect(text).toMatch(/HTTP\/1\.1 103 [^]*HTTP\/1\.1 401 Unauthorized\r\n[^]*X-Kept: yes\r\n/);
  });
});

describe("a request", () => {
  it.each([
    ["x_api_key", "/", { x_api_key: "sk-evil" }],
    ["a field named key", "/?key=sk-evil", {}],
    [
      "a subprotocol",
      "/",
      { "sec-websocket-protocol": "realtime, openai-insecure-api-key.sk-evil" },
    ],
  ] as const)("is refused with another credential in %s", async (_name, path, headers) => {
    const answer = await askThrough(egress.door, HOST, { path, headers });
    expect([answer.status, answer.body]).toEqual([
      403,
      expect.stringMatching(/^egress: foreign-credential: /),
    ]);
    expect(upstream.seen).toEqual([]);
  });

  it("loses its placeholder wherever a credential could stand", async () => {
    const protocols = `realtime, openai-insecure-api-key.${PLACEHOLDER}`;
    const headers = { x_api_key: PLACEHOLDER, "sec-websocket-protocol": protocols };
    const path = `/?a=1&api_key=${PLACEHOLDER}`;
    expect((await askThrough(egress.door, HOST, { path, headers })).status).toBe(200);
    const [seen] = upstream.seen;
    expect(seen?.url).toBe("/?a=1");
    expect(seen?.headers).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      "sec-websocket-protocol": "realtime",
    });
    expect(JSON.stringify(seen?.rawHeaders)).not.toContain(PLACEHOLDER);
  });

  it.each([
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X_HTTP_METHOD_OVERRIDE",
    "X-Original-URL",
    "X-Rewrite-URL",
  ])("may not say by %s that it is another one, where matches were asked", async (name) => {
    const answer = await askThrough(egress.door, HOST, { headers: { [name]: "DELETE" } });
    expect([answer.status, answer.body]).toEqual([
      403,
      expect.stringMatching(/^egress: no-match: /),
    ]);
    expect(upstream.seen).toEqual([]);
  });
});
