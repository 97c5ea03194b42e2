// Policies that change under load: each request is judged by the old one or by the new one, wholly, with the credential that goes
// with it; none is dropped, none passes unjudged.
import { once } from "node:events";
import http2 from "node:http2";
import type tls from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import { CA_KEY_SLOT, type Route } from "../../src/policy/egress.ts";
import {
  type Ask,
  ask,
  askThrough,
  guestAuthority,
  type Harness,
  openTunnel,
  route,
  SCANNED,
  startEgress,
  Upstream,
} from "./egress-support/harness.ts";

const HOST = "api.example.test";
const TOKENS = { one: "tok-one-9f8e7d6c5b4a39281706", two: "tok-two-1a2b3c4d5e6f70819203" };
const RELOADS = 30;
/** Longer than what is judged whole at once, shorter than what is streamed. */
const BODY = "x".repeat(200_000);

type Name = keyof typeof TOKENS;

/** A policy that allows /both and what has its own name. */
function policy(name: Name): Route {
  const paths = ["/both", `/${name}`].map((value) => ({ kind: "prefix" as const, value }));
  return route(HOST, {
    rule: `rule ${name}`,
    matches: [{ paths, methods: [], headers: [] }],
    auth: {
      carrier: { kind: "bearer" },
      slot: name === "one" ? "EGRESS_TOKEN_0" : "EGRESS_TOKEN_1",
      placeholder: `bot-bottle-placeholder-${name}`,
      requirePlaceholder: false,
    },
  });
}

let upstream: Upstream;
let egress: Harness;

beforeEach(async () => {
  upstream = await new Upstream(HOST).listen();
  egress = await startEgress({
    routes: [policy("one")],
    resolve: { [HOST]: { address: "127.0.0.1", port: upstream.port } },
    secrets: { EGRESS_TOKEN_0: TOKENS.one, EGRESS_TOKEN_1: TOKENS.two },
  });
});
afterEach(async () => {
  await egress[Symbol.asyncDispose]();
  await upstream.close();
});

/** Sends one request and gives the status of its answer. */
type Send = (path: string, more: Ask) => Promise<number>;

function askStream(session: http2.ClientHttp2Session, path: string, more: Ask): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      { ":path": path, ":authority": HOST, ":method": more.method ?? "GET" },
      { endStream: more.body === undefined },
    );
    let status = 0;
    stream.on("response", (headers) => (status = headers[":status"] ?? 0));
    stream.on("error", reject);
    stream.on("end", () => resolve(status));
    stream.resume();
    if (more.body !== undefined) stream.end(more.body);
  });
}

/** One connection for all requests, and a new one where the answer ends it, as a refusal does that leaves a body unread. */
function keptConnection(): Send {
  let socket: tls.TLSSocket | undefined;
  return async (path, more) => {
    socket ??= await openTunnel(egress.door, `${HOST}:443`);
    const { status, headers } = await ask(socket, HOST, { path, ...more });
    if (headers.connection === "close") {
      socket.destroy();
      socket = undefined;
    }
    return status;
  };
}

/** Keeps asking until it is told to stop; each target is asked for once. */
class Load {
  readonly answers = new Map<string, number>();
  isOver = false;
  #next = 0;

  async run(send: Send): Promise<void> {
    const kinds = ["both", "one", "two", "neither"] as const;
    while (!this.isOver) {
      this.#next += 1;
      const kind = kinds[this.#next % kinds.length] ?? "both";
      const path = `/${kind}/${this.#next}`;
      const more = this.#next % 7 === 0 ? { method: "POST", body: BODY } : {};
      this.answers.set(path, await send(path, more));
    }
  }

  /** Resolves when so many more were answered. */
  async answered(more: number): Promise<void> {
    const goal = this.answers.size + more;
    await expect
      .poll(() => this.answers.size, { interval: 1, timeout: 60_000 })
      .toBeGreaterThan(goal);
  }
}

describe("a reload under load", () => {
  it("drops nothing and lets nothing pass that neither policy allows", async () => {
    const load = new Load();
    const secure = await openTunnel(egress.door, `${HOST}:443`, HOST, ["h2"]);
    const session = http2.connect(`https://${HOST}`, { createConnection: () => secure });
    const senders: Send[] = [
      ...Array.from({ length: 6 }, keptConnection),
      ...Array.from({ length: 2 }, (): Send => {
        return async (path, more) =>
          (await askThrough(egress.door, HOST, { path, ...more })).status;
      }),
      ...Array.from({ length: 6 }, (): Send => (path, more) => askStream(session, path, more)),
    ];
    const running = senders.map((send) => load.run(send));
    for (let at = 0; at < RELOADS; at += 1) {
      await load.answered(10);
      const routes = [policy(at % 2 === 0 ? "two" : "one")];
      const next = { ...egress.config, policy: { ...egress.config.policy, routes } };
      expect(await egress.daemon.reload(next)).toEqual({ ok: true });
    }
    load.isOver = true;
    await Promise.all(running);
    session.destroy();

    const of = (kind: string): readonly number[] =>
      [...load.answers]
        .filter(([path]) => path.startsWith(`/${kind}/`))
        .map(([, status]) => status);
    expect(load.answers.size).toBeGreaterThan(RELOADS * 10);
    expect(new Set(of("both"))).toEqual(new Set([200]));
    expect(new Set(of("neither"))).toEqual(new Set([403]));
    // Both policies were met, or nothing was tried.
    for (const name of ["one", "two"]) expect(new Set(of(name))).toEqual(new Set([200, 403]));
    await expectJudged(load.answers);
  });
});

const reload = async (routes: readonly Route[]): Promise<void> => {
  const { config, daemon } = egress;
  const next = { ...config, policy: { ...config.policy, routes } };
  expect(await daemon.reload(next)).toEqual({ ok: true });
};

/** Sends half of a body, and the rest when it is told to; gives the status. */
type Stockpile = () => Promise<{ finish: () => Promise<number> }>;

const overHttp1: Stockpile = async () => {
  const socket = await openTunnel(egress.door, `${HOST}:443`);
  socket.write(`POST /both HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 10\r\n\r\nhello`);
  return {
    finish: async () => {
      socket.write("world");
      const [bytes]: Buffer[] = await once(socket, "data");
      socket.destroy();
      return Number(bytes?.toString().split(" ")[1]);
    },
  };
};

const overHttp2: Stockpile = async () => {
  const secure = await openTunnel(egress.door, `${HOST}:443`, HOST, ["h2"]);
  const session = http2.connect(`https://${HOST}`, { createConnection: () => secure });
  const stream = session.request({ ":path": "/both", ":authority": HOST, ":method": "POST" });
  stream.on("error", () => undefined);
  stream.write("hello");
  return {
    finish: async () => {
      stream.end("world");
      const [headers]: http2.IncomingHttpHeaders[] = await once(stream, "response");
      session.destroy();
      return Number(headers?.[":status"]);
    },
  };
};

/** What was sent before this is there when this is answered. */
const arrived = (): Promise<unknown> => askThrough(egress.door, HOST, { path: `/neither/0` });

describe.each([
  ["HTTP/1.1", overHttp1],
  ["HTTP/2", overHttp2],
])("a request over %s that began before a reload and ends after it", (_name, stockpile) => {
  it("does not leave where its route is gone", async () => {
    const { finish } = await stockpile();
    await arrived();
    await reload([]);
    expect(await finish()).toBe(403);
    expect(upstream.connections).toBe(0);
    expect((await egress.audit()).at(-1)).toMatchObject({ kind: "request", verdict: "deny" });
  });

  it("leaves by the new rule and with its credential, whole", async () => {
    const { finish } = await stockpile();
    await arrived();
    await reload([policy("two")]);
    expect(await finish()).toBe(200);
    expect(upstream.seen.map((it) => [it.headers.authorization, it.body.toString()])).toEqual([
      [`Bearer ${TOKENS.two}`, "helloworld"],
    ]);
    const decided = (await egress.audit()).filter((it) => it.path === "/both");
    expect(decided.map((it) => [it.verdict, it.rule])).toEqual([["allow", "rule two"]]);
  });

  it("is searched for what the new policy searches for", async () => {
    const { finish } = await stockpile();
    await arrived();
    const secret = { EGRESS_TOKEN_0: "unused-value-1", EGRESS_TOKEN_1: "helloworld" };
    const values = Object.entries({
      ...secret,
      CANARY: SCANNED,
      [CA_KEY_SLOT]: guestAuthority.keyPem,
    });
    const secrets = new Map(values.map(([slot, value]) => [slot, new Secret(slot, value)]));
    const routes = [policy("two")];
    const next = { ...egress.config, policy: { ...egress.config.policy, routes } };
    expect(await egress.daemon.reload(next, secrets)).toEqual({ ok: true });
    expect(await finish()).toBe(403);
    expect(upstream.seen).toEqual([]);
  });
});

it("a reload takes back what waits for a connection", async () => {
  const names = Promise.withResolvers<void>();
  await egress[Symbol.asyncDispose]();
  egress = await startEgress({
    routes: [policy("one")],
    lookup: async () => {
      await names.promise;
      return ["203.0.113.1"];
    },
    secrets: { EGRESS_TOKEN_0: TOKENS.one, EGRESS_TOKEN_1: TOKENS.two },
  });
  const asked = askThrough(egress.door, HOST, { path: "/both" });
  await arrived();
  await reload([]);
  names.resolve();
  expect((await asked).status).toBe(403);
});

/**
 * Every answer has a decision, the last of them where the policy changed before the request was sent; what arrived was allowed,
 * and carries the credential of the policy that allowed it.
 */
async function expectJudged(answers: ReadonlyMap<string, number>): Promise<void> {
  const decisions = new Map<string, string>();
  for (const { kind, path = "", verdict, rule } of await egress.audit()) {
    if (kind !== "request") continue;
    decisions.set(path, `${verdict} ${rule}`);
  }
  expect(decisions.size).toBe(answers.size);
  const arrived = new Map(upstream.seen.map((it) => [it.url, it]));
  expect(upstream.seen.length).toBe(arrived.size);
  for (const [path, status] of answers) {
    const decision = decisions.get(path) ?? "";
    expect([path, decision.startsWith("allow")]).toEqual([path, status === 200]);
    expect([path, arrived.has(path)]).toEqual([path, status === 200]);
    const name = decision.endsWith("one") ? "one" : "two";
    if (status === 200)
      expect(arrived.get(path)?.headers.authorization).toBe(`Bearer ${TOKENS[name]}`);
  }
}
