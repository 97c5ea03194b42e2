// The credential rule: one real credential at its place, no other one beside it, no placeholder elsewhere.
import { describe, expect, it } from "vitest";
import {
  type CredentialPlan,
  planCredentials,
  renderCredential,
  setQueryCredential,
  withoutProtocolCredentials,
} from "./credentials.ts";
import type { CredentialCarrier, Route } from "./egress.ts";
import type { Placeholder } from "./placeholders.ts";

const pairHeaders = (flat: readonly string[]): readonly (readonly [string, string])[] =>
  flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? ""] as const] : []));

const OWN = "bb-placeholder-aaaaaaaaaaaaaaaa";
const OTHER = "bb-placeholder-bbbbbbbbbbbbbbbb";
const ALL: readonly Placeholder[] = [
  { value: OWN, host: "api.test", port: undefined },
  { value: OTHER, host: "other.test", port: undefined },
];

function route(carrier: CredentialCarrier | undefined, requirePlaceholder = false): Route {
  const auth =
    carrier === undefined
      ? undefined
      : { carrier, slot: "EGRESS_TOKEN_0", placeholder: OWN, requirePlaceholder };
  return {
    rule: "egress.routes[0]",
    host: carrier === undefined ? "plain.test" : "api.test",
    port: undefined,
    matches: [],
    auth,
    outboundOnMatch: "block",
    scansOutbound: true,
    allowsGitFetch: false,
  };
}

const BEARER: CredentialCarrier = { kind: "bearer" };
const QUERY: CredentialCarrier = { kind: "query", name: "key" };
const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;

function plan(
  carrier: CredentialCarrier | undefined,
  headers: readonly string[],
  query = "",
  requirePlaceholder = false,
): CredentialPlan {
  return planCredentials(route(carrier, requirePlaceholder), pairHeaders(headers), query, ALL);
}

const outcome = (result: CredentialPlan): string => (result.ok ? "ok" : result.verdict.reason);

describe("a route with bearer auth", () => {
  it.each([
    [[], "ok"],
    [["Authorization", `Bearer ${OWN}`], "ok"],
    [["authorization", OWN], "ok"],
    [["AUTHORIZATION", basic(`x:${OWN}`)], "ok"],
    [["Authorization", basic(`${OWN}:x-oauth-basic`)], "ok"],
    [["Authorization", ""], "ok"],
    [["X-Api-Key", OWN], "ok"],
    [["Cookie", "session=of-the-guest"], "ok"],
    [["X-Note", `mentions ${OWN}`], "ok"],
    [["Authorization", "Bearer attackers-own-key"], "foreign-credential"],
    [["Authorization", `Bearer ${OWN.toUpperCase()}`], "foreign-credential"],
    [["Authorization", `Bearer ${OWN}`, "Authorization", "Bearer evil"], "foreign-credential"],
    [["Authorization", `Bearer ${OWN}`, "x-api-key", "evil"], "foreign-credential"],
    [["Proxy-Authorization", basic("evil:evil")], "foreign-credential"],
    [["X-Goog-Api-Key", "evil"], "foreign-credential"],
    [["Private-Token", "evil"], "foreign-credential"],
    [["X_Api_Key", "evil"], "foreign-credential"],
    [["x-api_key", OWN], "ok"],
    [["Sec-WebSocket-Protocol", "realtime, openai-beta.realtime-v1"], "ok"],
    [["Sec-WebSocket-Protocol", `realtime, openai-insecure-api-key.${OWN}`], "ok"],
    [
      ["Sec-WebSocket-Protocol", "realtime, OpenAI-insecure-api-key.sk-evil, x"],
      "foreign-credential",
    ],
    [
      ["Sec_WebSocket_Protocol", "base64url.bearer.authorization.k8s.io.ZXZpbA"],
      "foreign-credential",
    ],
    [["Authorization", basic("evil:evil")], "foreign-credential"],
    [["Authorization", `Bearer ${OTHER}`], "placeholder-elsewhere"],
    [["X-Note", OTHER], "placeholder-elsewhere"],
    [["Cookie", `a=${OTHER}`], "placeholder-elsewhere"],
    [["X-Note", basic(`u:${OTHER}`)], "placeholder-elsewhere"],
    [["X-Note", OTHER.replaceAll("-", "%2d")], "placeholder-elsewhere"],
  ] as const)("%j: %s", (headers, expected) => {
    expect(outcome(plan(BEARER, headers))).toBe(expected);
  });

  it("drops every credential header and sets the real one, whether the guest sent one or not", () => {
    for (const headers of [[], ["Authorization", `Bearer ${OWN}`, "X-Api-Key", OWN]]) {
      const result = plan(BEARER, headers);
      if (!result.ok) throw new Error("must be allowed");
      expect(result.dropHeaders).toEqual(
        expect.arrayContaining(["authorization", "x-api-key", "proxy-authorization"]),
      );
      expect(result.inject).toEqual({
        kind: "header",
        name: "Authorization",
        carrier: BEARER,
        slot: "EGRESS_TOKEN_0",
      });
    }
  });

  it.each(["key=evil", "api_key=evil", "Api-Key=evil", "apikey=evil", "x=1;key[]=evil"])(
    "refuses %s",
    (query) => expect(outcome(plan(BEARER, [], query))).toBe("foreign-credential"),
  );

  it("takes the placeholder out of the subprotocols of a WebSocket, and nothing else", () => {
    const offered = [
      ["Sec-WebSocket-Protocol", `realtime, openai-insecure-api-key.${OWN}, beta`],
      ["Sec-WebSocket-Protocol", `openai-insecure-api-key.${OWN}`],
      ["X", "1"],
    ] as const;
    expect(withoutProtocolCredentials(offered)).toEqual([
      ["Sec-WebSocket-Protocol", "realtime, beta"],
      ["X", "1"],
    ]);
  });

  it("treats query fields that carry tokens like headers", () => {
    expect(outcome(plan(BEARER, [], "a=1&access_token=evil"))).toBe("foreign-credential");
    const result = plan(BEARER, [], `a=1&access_token=${OWN}&b=2`);
    expect(result.ok && result.query).toBe("a=1&b=2");
  });

  it("can require the placeholder", () => {
    expect(outcome(plan(BEARER, [], "", true))).toBe("placeholder-missing");
    expect(outcome(plan(BEARER, ["X-Note", OWN], "", true))).toBe("placeholder-missing");
    expect(outcome(plan(BEARER, ["Authorization", `Bearer ${OWN}`], "", true))).toBe("ok");
  });

  it("never repeats a value in an explanation", () => {
    const result = plan(BEARER, ["Authorization", "Bearer attackers-own-key"]);
    expect(JSON.stringify(result)).not.toContain("attackers-own-key");
    expect(JSON.stringify(plan(BEARER, ["X-Note", OTHER]))).not.toContain(OTHER);
  });
});

describe("a declared header", () => {
  it.each([
    [["X-Custom-Key", OWN], "ok"],
    [["x-custom-key", "evil"], "foreign-credential"],
    [["Authorization", "Bearer evil"], "foreign-credential"],
  ] as const)("%j: %s", (headers, expected) => {
    const result = plan({ kind: "header", name: "X-Custom-Key" }, headers);
    expect(outcome(result)).toBe(expected);
    if (result.ok) expect(result.dropHeaders).toContain("x-custom-key");
  });
});

describe("a declared query field", () => {
  it.each([
    ["", "ok", ""],
    ["a=1", "ok", "a=1"],
    [`key=${OWN}`, "ok", ""],
    [`a=1&key=${OWN}&b=%2F`, "ok", "a=1&b=%2F"],
    ["key=", "ok", ""],
    ["key=evil", "foreign-credential", ""],
    ["k%65y=evil", "foreign-credential", ""],
    ["KEY=evil", "foreign-credential", ""],
    ["a=1;key=evil", "foreign-credential", ""],
    ["key[]=evil", "foreign-credential", ""],
    ["key%5B0%5D=evil", "foreign-credential", ""],
    [`key=${OWN}&key=evil`, "foreign-credential", ""],
    [`key=${OTHER}`, "placeholder-elsewhere", ""],
    [`note=${OTHER}`, "placeholder-elsewhere", ""],
    [`${OTHER}`, "placeholder-elsewhere", ""],
    [`note=${OTHER.replaceAll("-", "%2D")}`, "placeholder-elsewhere", ""],
  ])("%j: %s", (query, expected, rest) => {
    const result = plan(QUERY, [], query);
    expect(outcome(result)).toBe(expected);
    if (result.ok) {
      expect(result.query).toBe(rest);
      expect(result.inject).toEqual({ kind: "query", name: "key", slot: "EGRESS_TOKEN_0" });
    }
  });
});

describe("a route without auth", () => {
  it("passes the guest's own credentials", () => {
    const result = plan(undefined, ["Authorization", "Bearer of-the-guest"], "key=mine");
    expect(result).toEqual({
      ok: true,
      dropHeaders: ["proxy-authorization"],
      query: "key=mine",
      inject: undefined,
    });
  });

  it.each([
    [["Authorization", `Bearer ${OWN}`], ""],
    [["Authorization", basic(`x:${OTHER}`)], ""],
    [["X-Anything", OWN], ""],
    [["Referer", `https://plain.test/?k=${OWN}`], ""],
    [[], `x=${OTHER}`],
  ] as const)("refuses placeholders of other hosts: %j %j", (headers, query) => {
    expect(outcome(plan(undefined, headers, query))).toBe("placeholder-elsewhere");
  });
});

describe("rendering", () => {
  it.each([
    [BEARER, "s3cret", "Bearer s3cret"],
    [{ kind: "token" }, "s3cret", "token s3cret"],
    [{ kind: "basic", username: "me" }, "s3cret", "Basic bWU6czNjcmV0"],
    [{ kind: "header", name: "X" }, "s3cret", "s3cret"],
    [BEARER, "two\r\nlines", undefined],
    [{ kind: "header", name: "X" }, "", undefined],
  ] as const)("%j", (carrier, value, expected) => {
    expect(renderCredential(carrier, value)).toBe(expected);
  });

  it("adds to a query", () => {
    expect(setQueryCredential("", "key", "a&b")).toBe("key=a%26b");
    expect(setQueryCredential("x=1", "key", "v")).toBe("x=1&key=v");
  });
});
