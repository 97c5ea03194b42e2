// What the rules of every bottle are tried with: wildcards, patterns, escaped slashes, credentials in bodies, budgets, and what
// egress tells of itself. Observed at a sink outside.
import { expect, it } from "vitest";
import {
  type Attempt,
  type EgressAttack,
  type Expected,
  request,
} from "../support/egress-attack.ts";

type Row = readonly [name: string, attempt: Attempt, expected: Expected];

const at = (host: string, bytes: string): Attempt => ({
  tunnel: { authority: `${host}:443` },
  bytes,
});
const get = (host: string, target = "/", ...lines: string[]): Attempt =>
  at(host, request("GET", target, host, lines));
const post = (body: string, ...lines: string[]): Attempt =>
  at(
    "json.attack.test",
    request("POST", "/", "json.attack.test", ["Content-Type: application/json", ...lines], body),
  );
const connect = (host: string): Attempt => ({ tunnel: { authority: `${host}:443` }, bytes: "" });

const DENIED = { status: 403, reason: "host-not-allowed" } as const;
const NO_MATCH = { status: 403, reason: "no-match", kind: "request" } as const;
const MALFORMED = { status: 400, reason: "bad-request" } as const;
const FOREIGN = { status: 403, reason: "foreign-credential" } as const;
const NO_BODY = { status: 403, reason: "no-json-body" } as const;

// biome-ignore format: one attempt a line
const ROWS: readonly Row[] = [
  ["the name that a wildcard stands below", connect("wild.attack.test"), DENIED],
  ["two labels below a wildcard", connect("a.b.wild.attack.test"), DENIED],
  ["a wildcard's name as the end of a label", connect("evilwild.attack.test"), DENIED],
  ["a wildcard's name as a prefix", connect("a.wild.attack.test.evil.test"), DENIED],
  ["an empty label below a wildcard", connect(".wild.attack.test"), { status: 400, reason: "bad-authority" }],
  ["a star below a wildcard", connect("*.wild.attack.test"), { status: 400, reason: "bad-authority" }],
  ["what a wildcard allows at a host that has rules of its own", get("api.wild.attack.test", "/other"), NO_MATCH],
  ["a path that an escaped slash leads out of a prefix", get("narrow.attack.test", "/ok%2fx"), NO_MATCH],
  ["a path that an escaped slash leads into a prefix", get("narrow.attack.test", "/x%2f..%2fok"), MALFORMED],
  ["an escaped slash at the beginning", get("narrow.attack.test", "/%2fok"), MALFORMED],
  ["an escaped slash that a glob takes for one segment only", get("header.attack.test", "/@a%2fb%2fc"), NO_MATCH],
  ["a path that fits a pattern but for its end", get("header.attack.test", "/v1/ab/x", "X-Mode: read"), NO_MATCH],
  ["a path that fits a pattern but for its beginning", get("header.attack.test", "/x/v1/ab", "X-Mode: read"), NO_MATCH],
  ["a header that fits a pattern in part", get("header.attack.test", "/v1/ab", "X-Mode: reader"), NO_MATCH],
  ["two headers of which one fits", get("header.attack.test", "/v1/ab", "X-Mode: read", "X-Mode: write"), NO_MATCH],
  ["no header where one must fit", get("header.attack.test", "/v1/ab"), NO_MATCH],
  ["a path that a backtracking engine would never finish", get("header.attack.test", `/v1/${"ab".repeat(7000)}!`, "X-Mode: read"), NO_MATCH],
  ["an own credential in a JSON body", post('{"auth":{"key":"mine"}}'), FOREIGN],
  ["an own credential as a number", post('{"auth":{"key":1}}'), FOREIGN],
  ["an own credential behind the placeholder's field, in other case", post('{"auth":{"Key":"mine"}}'), NO_BODY],
  ["an own credential in the header beside the body", post("{}", "Authorization: Bearer mine"), FOREIGN],
  ["a JSON body that is a list", post("[]"), NO_BODY],
  ["a JSON body that is none", post('{"auth":'), NO_BODY],
  ["a JSON body in another encoding", post("{}", "Content-Encoding: gzip"), { status: 403, reason: "undecodable-body" }],
  ["a JSON body under two types", post("{}", "Content-Type: text/plain"), NO_BODY],
  ["no body where one carries the credential", get("json.attack.test"), NO_BODY],
  ["more bytes than the budget", at("budget.attack.test", request("POST", "/", "budget.attack.test", [], "x".repeat(3000))), { status: 403, reason: "budget-spent" }],
  ["egress itself, otherwise than it answers", get("_egress.local", "/"), NO_MATCH],
  ["egress itself, to change something", at("_egress.local", request("PUT", "/allowlist", "_egress.local", [], "{}")), NO_MATCH],
  ["egress itself behind another server name", { ...get("_egress.local", "/allowlist"), tunnel: { authority: "open.attack.test:443" } }, { status: 403, reason: "authority-mismatch" }],
];

/** Defines the tests; `attack` gives the bottle once it runs. */
export function rulesSuite(attack: () => EgressAttack): void {
  it.each(ROWS)("refuse %s", async (_name, attempt, expected) => {
    await attack().refused(attempt, expected);
  });

  it("let through what they name", async () => {
    await attack().allowed(get("one.wild.attack.test", "/any"));
    await attack().allowed(get("api.wild.attack.test", "/only"));
    await attack().allowed(get("header.attack.test", "/v12/abba", "X-Mode: list"));
    await attack().allowed(get("header.attack.test", "/@scope%2fname"));
    expect(attack().sink.arrived.at(-1)?.url).toBe("/@scope%2Fname");
  });

  it("refuse a secret as a label of a wildcard before the name is looked up", async () => {
    const isLabel = /^[A-Za-z0-9][\w-]*[A-Za-z0-9]$/.test(attack().canary);
    await attack().refused(connect(`${attack().canary}.wild.attack.test`), {
      status: isLabel ? 403 : 400,
      reason: isLabel ? "secret-found" : "bad-authority",
    });
  });

  it("put the credential into a JSON body and nowhere else", async () => {
    const placeholder = attack().env["JSON_TOKEN"] ?? "";
    await attack().allowed(post(`{"n":1.10,"auth":{"key":"${placeholder}"}}`));
    const { body } = attack().sink.arrived.at(-1) ?? {};
    expect(body?.toString()).toBe('{"n":1.10,"auth":{"key":"jsn-real-Uu9Vv8Ww7Xx6Yy5Zz4Aa3Bb2"}}');
  });

  it("cut a budget off when it is spent", async () => {
    await attack().allowed(get("budget.attack.test"));
    await attack().refused(get("budget.attack.test"), {
      status: 403,
      reason: "budget-spent",
      kind: "request",
    });
  });

  it("show themselves to the guest, without a value", async () => {
    const before = attack().sink.count();
    const { text = "" } = await attack().send(get("_egress.local", "/allowlist"));
    const table: unknown = JSON.parse(text.slice(text.indexOf("{")));
    expect(table).toMatchObject({
      routes: expect.arrayContaining([expect.objectContaining({ host: "*.wild.attack.test" })]),
    });
    attack().expectNoSecret(text);
    for (const [name, value] of Object.entries(attack().env))
      if (name.endsWith("_TOKEN")) expect(text).not.toContain(value);
    expect(attack().sink.count()).toEqual(before);
  });
}
