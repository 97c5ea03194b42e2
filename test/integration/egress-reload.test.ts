// Policies that change under load: each request is judged by the old one or by the new one, wholly, with the credential that goes
// with it; none is dropped, none passes unjudged.
import http2 from "node:http2";
import type tls from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Route } from "../../src/policy/egress.ts";
import {
  type Ask,
  ask,
  askThrough,
  type Harness,
  openTunnel,
  route,
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
    await expectJudgedOnce(load.answers);
  });
});

/** Every answer has one decision; what arrived was allowed, and carries the credential of the policy that allowed it. */
async function expectJudgedOnce(answers: ReadonlyMap<string, number>): Promise<void> {
  const decisions = new Map<string, string>();
  for (const { kind, path = "", verdict, rule } of await egress.audit()) {
    if (kind !== "request") continue;
    expect(decisions.has(path)).toBe(false);
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
