// One bottle whose hosts all lead to one sink outside, and the check that every attempt at it gets: what the guest was
// answered, what arrived outside, what the audit log says, and that no secret is in it.
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { AuditLine } from "../../src/protocol/audit.ts";
import { type AttackWorld, type DriverAnswer, type Mode, openAttackWorld } from "./attack-world.ts";
import { testBase } from "./docker.ts";
import { bridgeAddress } from "./docker-command.ts";
import { Sink } from "./sink.ts";

/** Real tokens: the guest never has them. */
export const TOKENS = {
  API_TOKEN: "tok-real-Aa1Bb2Cc3Dd4Ee5Ff6Gg7Hh8",
  KEY_TOKEN: "key-real-Zz9Yy8Xx7Ww6Vv5Uu4Tt3Ss2",
  QUERY_TOKEN: "qry-real-Mm1Nn2Oo3Pp4Qq5Rr6Ss7Tt8",
  JSON_TOKEN: "jsn-real-Uu9Vv8Ww7Xx6Yy5Zz4Aa3Bb2",
} as const;
/** A value that the operator gives to the guest on purpose. */
export const PLANTED = 'planted/Jj0Kk9+Ll8Ii7Hh6"Gg5=Ff4';

/** What an attempt is made of. `text` is latin1; parts are written one after another. */
export interface Attempt {
  /** Straight to the proxy, or through CONNECT and TLS. */
  readonly tunnel?: {
    readonly authority: string;
    readonly servername?: string;
    readonly isPlain?: boolean;
  };
  readonly bytes: string | Buffer | readonly (string | Buffer)[];
  readonly waitMs?: number;
}

/** What must come of it. */
export interface Expected {
  /** Undefined: the connection ends without an answer of HTTP. */
  readonly status: number | undefined;
  readonly reason: string;
  readonly kind?: AuditLine["kind"];
}

export class EgressAttack implements AsyncDisposable {
  readonly sink: Sink;
  readonly world: AttackWorld;
  readonly env: Readonly<Record<string, string>>;
  readonly canary: string;

  constructor(sink: Sink, world: AttackWorld, env: Readonly<Record<string, string>>) {
    this.sink = sink;
    this.world = world;
    this.env = env;
    this.canary = Object.entries(env).find(([name]) => name.endsWith("_SECRET"))?.[1] ?? "";
  }

  /** Host and port of the proxy, as the guest was told. */
  get door(): string {
    return new URL(this.env["HTTPS_PROXY"] ?? "").host;
  }

  /** Everything that must never be in a log. */
  get secrets(): readonly string[] {
    return [...Object.values(TOKENS), PLANTED, this.canary];
  }

  async send({ tunnel, bytes, waitMs }: Attempt): Promise<DriverAnswer> {
    const parts = (Array.isArray(bytes) ? bytes : [bytes]).map((part: string | Buffer) =>
      (typeof part === "string" ? Buffer.from(part, "latin1") : part).toString("base64"),
    );
    const wait = waitMs === undefined ? {} : { waitMs };
    if (tunnel === undefined) return this.world.ask("raw", { parts, ...wait });
    const servername = tunnel.servername ?? tunnel.authority.replace(/:\d+$/, "");
    return this.world.ask("tunnel", { ...tunnel, servername, parts, ...wait });
  }

  /** Makes an attempt that must fail, and checks all that can be seen of it. */
  async refused(attempt: Attempt, expected: Expected): Promise<DriverAnswer> {
    const before = this.sink.count();
    const seq = this.world.audit().at(-1)?.seq ?? -1;
    const answer = await this.send(attempt);
    const text = answer.text ?? "";
    if (expected.status === undefined) expect(text).not.toMatch(/^HTTP\//);
    else
      expect(text).toMatch(
        new RegExp(`^HTTP/1\\.1 ${expected.status} [^]*\\r\\n\\r\\negress: ${expected.reason}: `),
      );
    expect(this.sink.count(), "nothing arrived outside").toEqual(before);
    const events = this.world.audit().filter((line) => line.seq > seq);
    const kinds = expected.kind === undefined ? {} : { kind: expected.kind };
    expect(events.at(-1)).toMatchObject({ verdict: "deny", reason: expected.reason, ...kinds });
    this.expectNoSecret(text);
    return answer;
  }

  /** Makes an attempt that must reach the sink, which shows that the others fail for their own reason. */
  async allowed(attempt: Attempt, status = 200): Promise<DriverAnswer> {
    const before = this.sink.count().requests;
    const answer = await this.send(attempt);
    expect(answer.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(this.sink.count().requests).toBe(before + 1);
    return answer;
  }

  /** Neither the audit log nor what the guest was told holds a value that the guest did not send itself in that place. */
  expectNoSecret(answer: string): void {
    for (const token of Object.values(TOKENS)) expect(answer).not.toContain(token);
    const log = readFileSync(this.world.bottles[0]?.audit ?? "", "utf8");
    for (const secret of this.secrets) {
      const spellings = [
        secret,
        secret.toLowerCase(),
        encodeURIComponent(secret),
        JSON.stringify(secret).slice(1, -1),
        Buffer.from(secret).toString("base64"),
        Buffer.from(secret).toString("base64url"),
        Buffer.from(secret).toString("hex"),
      ];
      for (const spelling of spellings)
        expect(log.toLowerCase()).not.toContain(spelling.toLowerCase());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
    await this.sink[Symbol.asyncDispose]();
  }
}

/** Where the bottle is, and who owns it: on bubblewrap, or on docker in one of its attachments. */
export type Place = Mode | "sockets" | "internal";

/** Opens the sink and the bottle. */
export async function openEgressAttack(place: Place): Promise<EgressAttack> {
  const isDocker = place === "sockets" || place === "internal";
  const host = place === "internal" ? bridgeAddress() : "127.0.0.1";
  const sink = await new Sink().open(host);
  const https = `${host}:${sink.httpsPort}`;
  const resolve = {
    ...Object.fromEntries(
      [
        "api",
        "key",
        "query",
        "open",
        "git",
        "redact",
        "narrow",
        "json",
        "budget",
        "header",
        "evil",
        "wrong",
        "stranger",
      ].map((name) => [`${name}.attack.test`, https]),
    ),
    "plain.attack.test": `${host}:${sink.httpPort}`,
    "one.wild.attack.test": https,
    "api.wild.attack.test": https,
  };
  const where = isDocker ? `backend: docker\nruntime: runc\nattachment: ${place}` : "";
  const bottle = `${where}
agent_provider: { template: command, settings: { argv: [/bin/true] } }
env: { PLANTED: "\${PLANTED}" }
egress:
  upstream_ca: [../upstream-ca.pem]
  resolve: ${JSON.stringify(resolve)}
  routes:
    - host: api.attack.test
      auth: { scheme: Bearer, token_ref: API_TOKEN }
      dlp: { outbound_on_match: block }
    - host: key.attack.test
      auth: { scheme: header, name: X-Service-Key, token_ref: KEY_TOKEN }
    - host: query.attack.test
      auth: { scheme: query, name: service_key, token_ref: QUERY_TOKEN }
    - host: open.attack.test
    - host: plain.attack.test
    - host: wrong.attack.test
    - host: stranger.attack.test
    - { host: git.attack.test, git: { fetch: true } }
    - { host: redact.attack.test, dlp: { outbound_on_match: redact } }
    - { host: narrow.attack.test, matches: [{ methods: [GET], paths: [{ value: /ok }] }] }
    - host: "*.wild.attack.test"
    - { host: api.wild.attack.test, matches: [{ paths: [{ type: exact, value: /only }] }] }
    - host: json.attack.test
      auth: { scheme: json, pointer: /auth/key, token_ref: JSON_TOKEN }
    - { host: budget.attack.test, limits: { requests: 1, bytes: 2KiB } }
    - host: header.attack.test
      matches:
        - paths: [{ type: regex, value: "/v[0-9]+/(?:a|b)+" }]
          headers: [{ name: X-Mode, value: "read|list", type: regex }]
        - paths: [{ type: glob, value: "/@*/*" }, { type: glob, value: "/@*" }]`;
  try {
    const world = await openAttackWorld({
      mode: isDocker ? "root" : place,
      bottles: { attacker: bottle },
      env: { ...TOKENS, PLANTED, ...(isDocker ? imageEnvironment() : {}) },
      ...(isDocker ? { node: "node" } : {}),
      files: { "upstream-ca.pem": sink.caPem },
    });
    const { env = {} } = await world.ask("env");
    return new EgressAttack(sink, world, env);
  } catch (error) {
    await sink[Symbol.asyncDispose]();
    throw error;
  }
}

/** An image that needs no build, for guest and bundle. */
function imageEnvironment(): Readonly<Record<string, string>> {
  const base = testBase();
  return { BOT_BOTTLE_IMAGE: base, BOT_BOTTLE_BASE_IMAGE: base };
}

/** A request as text; `lines` are header lines. */
export function request(
  method: string,
  target: string,
  host: string,
  lines: readonly string[] = [],
  body = "",
): string {
  const length = body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body, "latin1")}`];
  return [
    `${method} ${target} HTTP/1.1`,
    `Host: ${host}`,
    "Connection: close",
    ...lines,
    ...length,
    "",
    body,
  ].join("\r\n");
}
