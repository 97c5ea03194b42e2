import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { compileKnownSecrets } from "../../policy/dlp/known-secrets.ts";
import type { ScanPolicy } from "../../policy/dlp/types.ts";
import type { Route } from "../../policy/egress.ts";
import type { Deny } from "../../policy/verdict.ts";
import type { AskRequest } from "../descriptor.ts";
import { createBufferBudget, MAX_WHOLE_BODY_BYTES } from "./body.ts";
import type { Authorized, Scanned, StepResult } from "./context.ts";
import { HeaderBlock } from "./header-block.ts";
import { BodyStream } from "./http1/body-stream.ts";
import type { Incoming, Outgoing } from "./message.ts";
import { statusOf } from "./refusal.ts";
import { scanHost, scanRequest } from "./scan.ts";

const SECRET = "tok-0123456789abcdefGHIJ";
const policy: ScanPolicy = {
  detectors: [compileKnownSecrets([{ name: "TOKEN", value: SECRET }]).detector],
  placeholders: [],
};
const route = (more: Partial<Route> = {}): Route => ({
  rule: "r",
  host: "api.test",
  port: undefined,
  matches: [],
  auth: undefined,
  outboundOnMatch: "block",
  scansOutbound: true,
  allowsGitFetch: false,
  ...more,
});

type More = Partial<Omit<Authorized, "kind">> & { readonly body?: Buffer };

const idle = { pause: () => undefined, resume: () => undefined, discard: () => undefined };
const outgoing: Outgoing = {
  isHeadSent: false,
  isOver: false,
  interim: () => undefined,
  head: () => undefined,
  write: () => true,
  flush: () => undefined,
  end: () => undefined,
  reset: () => undefined,
  closeAfter: () => undefined,
  switchProtocols: () => undefined,
  onDrain: undefined,
  onGone: undefined,
  onOver: undefined,
};

/** A request whose body is at hand. */
function incomingOf(asked: Authorized, body: Buffer): Incoming {
  const source = new BodyStream(idle);
  for (let at = 0; at < body.length; at += 65_536) source.push(body.subarray(at, at + 65_536));
  source.finish([]);
  const { method, block, framing } = asked;
  const common = { version: "1.1", target: "/", hosts: [], expectsContinue: false } as const;
  return { ...common, method, block, framing, body: source };
}

type Answer = "granted" | "refused" | "pending";

async function run(
  more: More = {},
  buffers = createBufferBudget(),
  answer: Answer = "refused",
  asks: AskRequest[] = [],
): Promise<StepResult<Scanned>> {
  const { body, ...rest } = more;
  const asked: Authorized = {
    kind: "authorized",
    scheme: "https",
    authority: { host: "api.test", port: 443, kind: "name" },
    method: "POST",
    path: "/",
    query: "",
    headers: [],
    block: HeaderBlock.of(rest.headers ?? []),
    framing: body === undefined ? { kind: "none" } : { kind: "stream" },
    route: route(),
    dropHeaders: [],
    cleanQuery: rest.query ?? "",
    inject: undefined,
    isWebSocket: false,
    ...rest,
  };
  const incoming = incomingOf(asked, body ?? Buffer.alloc(0));
  const ask = (request: AskRequest): Promise<Answer> => {
    asks.push(request);
    return Promise.resolve(answer);
  };
  return scanRequest(asked, { arrival: { incoming, outgoing }, policy, buffers, ask: { ask } });
}

describe("scanning", () => {
  it.each<[string, More]>([
    ["path", { path: `/${SECRET}` }],
    ["query", { query: `q=${SECRET}` }],
    ["header value", { headers: [["X", SECRET]] }],
    ["header name", { headers: [[SECRET, "1"]] }],
    ["host", { authority: { host: `${SECRET.toLowerCase()}.test`, port: 443, kind: "name" } }],
    ["body", { body: Buffer.from(SECRET) }],
    ["gzip body", { body: gzipSync(SECRET), headers: [["Content-Encoding", "gzip"]] }],
  ])("finds a secret in the %s", async (_name, more) => {
    const result = await run(more);
    expect(result).toMatchObject({ kind: "deny", reason: "secret-found", rule: "r" });
    expect(JSON.stringify(result)).toContain("where it has one, otherwise leave it out");
    expect(JSON.stringify(result)).not.toContain(SECRET);
  });

  const deep = Array.from({ length: 14 }).reduce<string>((it) => encodeURIComponent(it), "%41");
  it.each<[string, More]>([
    ["path", { path: `/${deep}` }],
    ["query", { query: `q=${deep}`, cleanQuery: `q=${deep}` }],
    ["header", { headers: [["X", deep]] }],
    ["body", { body: Buffer.from(deep) }],
    ["gzip body", { body: gzipSync(deep), headers: [["Content-Encoding", "gzip"]] }],
  ])("refuses a %s that it cannot judge, redacting or not", async (_name, more) => {
    for (const outboundOnMatch of ["block", "redact"] as const) {
      const result = await run({ route: route({ outboundOnMatch }), ...more });
      expect(result).toMatchObject({ kind: "deny", reason: "undecodable-body", rule: "r" });
      expect(statusOf(result as Deny)).toBe(403);
    }
  });

  it("masks with the same length where the route says so, and refuses where it cannot", async () => {
    const redacting = { route: route({ outboundOnMatch: "redact" }) };
    const stars = "*".repeat(SECRET.length);
    const result = await run({
      ...redacting,
      path: `/${SECRET}`,
      query: `q=${SECRET}`,
      headers: [["X", SECRET]],
      body: Buffer.from(SECRET),
    });
    expect(result).toMatchObject({
      kind: "scanned",
      path: `/${stars}`,
      cleanQuery: `q=${stars}`,
      headers: [["X", stars]],
      isRedacted: true,
    });
    expect(result.kind === "scanned" && result.body).toEqual({
      kind: "whole",
      bytes: Buffer.from(stars),
    });
    const inName = await run({ ...redacting, headers: [[SECRET, "1"]] });
    expect(inName).toMatchObject({ reason: "secret-found" });
    const split = await run({
      ...redacting,
      headers: [["Content-Encoding", "gzip"]],
      body: gzipSync(SECRET),
    });
    expect(split).toMatchObject({ reason: "secret-found" });
  });

  it.each(["refused", "pending"] as const)("takes %s for no", async (answer) => {
    const supervised = { route: route({ outboundOnMatch: "supervise" }) };
    const inPath = await run({ ...supervised, path: `/${SECRET}` }, undefined, answer);
    expect(inPath).toMatchObject({ kind: "deny", reason: "secret-found" });
    const inBody = await run({ ...supervised, body: Buffer.from(SECRET) }, undefined, answer);
    expect(inBody).toMatchObject({ kind: "deny", reason: "secret-found" });
  });

  it("lets one request pass that the operator granted, and asks without its value", async () => {
    const supervised = { route: route({ outboundOnMatch: "supervise" }) };
    const asks: AskRequest[] = [];
    const body = Buffer.from(`a ${SECRET}`);
    const result = await run({ ...supervised, body }, undefined, "granted", asks);
    expect(result).toMatchObject({ kind: "scanned", body: { kind: "whole", bytes: body } });
    await run({ ...supervised, path: `/${SECRET}`, body }, undefined, "granted", asks);
    await run({ ...supervised, body: Buffer.from(`b ${SECRET}`) }, undefined, "granted", asks);
    expect(asks).toHaveLength(4);
    expect(new Set(asks.map(({ digest }) => digest)).size).toBe(4);
    expect(JSON.stringify(asks)).not.toContain(SECRET);
  });

  it("asks about nothing else, and not where the route says block", async () => {
    const asks: AskRequest[] = [];
    await run({ path: `/${SECRET}` }, undefined, "granted", asks);
    const broken = {
      body: gzipSync("x").subarray(0, 9),
      headers: [["Content-Encoding", "gzip"]] as const,
    };
    const supervised = { route: route({ outboundOnMatch: "supervise" }) };
    expect(await run({ ...supervised, ...broken }, undefined, "granted", asks)).toMatchObject({
      reason: "undecodable-body",
    });
    expect(asks).toEqual([]);
  });

  it("looks at nothing on a route without scanning", async () => {
    const result = await run({
      route: route({ scansOutbound: false }),
      path: `/${SECRET}`,
      body: Buffer.from(SECRET),
    });
    expect(result).toMatchObject({ kind: "scanned", body: { kind: "stream", scanner: undefined } });
  });

  it("judges a body whole up to the bound, and on its way beyond", async () => {
    const whole = await run({ body: Buffer.alloc(MAX_WHOLE_BODY_BYTES, "a") });
    expect(whole).toMatchObject({ body: { kind: "whole" } });
    const longer = await run({ body: Buffer.alloc(MAX_WHOLE_BODY_BYTES + 1, "a") });
    expect(longer).toMatchObject({ body: { kind: "stream", length: undefined } });
    const encoded = await run({
      body: Buffer.alloc(MAX_WHOLE_BODY_BYTES + 1, "a"),
      headers: [["Content-Encoding", "br"]],
    });
    expect(encoded).toMatchObject({ reason: "body-too-large" });
  });

  it("refuses a body when all others hold too much", async () => {
    expect(await run({ body: Buffer.from("x") }, createBufferBudget(1000))).toMatchObject({
      reason: "not-ready",
    });
  });

  it("judges host names alone, for tunnels", () => {
    expect(scanHost("api.test", "r", policy)).toBeUndefined();
    expect(scanHost(`${Buffer.from(SECRET).toString("hex")}.test`, "r", policy)).toMatchObject({
      reason: "secret-found",
    });
  });
});
