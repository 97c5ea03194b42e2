// Explanations agree with decisions and name what decided.
import { describe, expect, it } from "vitest";
import type { EgressPolicy, Route } from "./egress.ts";
import { explainRequest, type RequestExplanation } from "./explain-request.ts";

const route = (rule: string, host: string, more: Partial<Route> = {}): Route => ({
  rule,
  host,
  port: undefined,
  matches: [],
  auth: undefined,
  outboundOnMatch: "block",
  scansOutbound: true,
  allowsGitFetch: false,
  ...more,
});
const policy: EgressPolicy = {
  resolve: {},
  routes: [
    route("egress.routes[0]", "api.example.com", {
      matches: [
        { paths: [{ kind: "prefix", value: "/v1" }], methods: ["GET"], headers: [] },
        { paths: [{ kind: "glob", value: "/files/*" }], methods: [], headers: [] },
      ],
      auth: {
        carrier: { kind: "bearer" },
        slot: "EGRESS_TOKEN_0",
        placeholder: "the-placeholder",
        requirePlaceholder: false,
        variable: "API_KEY",
      },
    }),
    route("egress.routes[1]", "*.example.com"),
    route("egress.routes[2]", "api.example.com", { port: 8443 }),
  ],
};
const explain = (
  url: string,
  method = "GET",
  headers: readonly (readonly [string, string])[] = [],
): RequestExplanation => explainRequest(policy, { method, url, headers });
const outcome = ({ verdict }: RequestExplanation): string =>
  `${verdict.kind === "allow" ? "allowed" : verdict.reason} ${verdict.rule}`;

it.each([
  ["https://api.example.com/v1/x", "GET", "allowed egress.routes[0]"],
  ["https://API.example.com.:443/v1/%78#top", "GET", "allowed egress.routes[0]"],
  ["https://api.example.com/v1/x", "POST", "no-match egress.routes[0]"],
  ["https://api.example.com/files/a%2fb", "GET", "no-match egress.routes[0]"],
  ["https://other.example.com/", "POST", "allowed egress.routes[1]"],
  ["https://example.com/", "GET", "host-not-allowed default-deny"],
  ["https://api.example.com:8443/", "GET", "allowed egress.routes[2]"],
  ["https://api.example.com:9/", "GET", "host-not-allowed default-deny"],
  ["https://127.0.0.1/", "GET", "address-forbidden forbidden-address"],
  ["http://[::1]:8080/", "GET", "address-forbidden forbidden-address"],
  ["http://2130706433/", "GET", "address-forbidden forbidden-address"],
  ["wss://api.example.com/v1/x", "GET", "allowed egress.routes[0]"],
  ["ws://other.example.com/", "GET", "allowed egress.routes[1]"],
  ["ws://other.example.com:443/", "GET", "host-not-allowed default-deny"],
  ["http://api.example.com/v1", "GET", "plain-http-credential egress.routes[0]"],
  ["https://other.example.com/x.git/git-receive-pack", "POST", "git-push-refused egress.routes[1]"],
  ["https://api.example.com/v1/../x", "GET", "bad-request egress.protocol"],
  ["https://a@api.example.com/", "GET", "bad-authority egress.protocol"],
  ["ftp://api.example.com/", "GET", "bad-request egress.protocol"],
  ["http://_egress.local/allowlist", "GET", "allowed egress.introspection"],
  ["https://_egress.local/other", "GET", "no-match egress.introspection"],
])("%s with %s: %s", (url, method, expected) => {
  expect(outcome(explain(url, method))).toBe(expected);
});

describe("an explanation", () => {
  it("shows an address as it is written, and does not advise a route to it", () => {
    const { asked, verdict } = explain("https://[::1]/");
    expect(asked).toBe("GET https://[::1]/");
    const why = verdict.kind === "deny" ? verdict.explanation : "";
    expect(why).toMatch(/^\[::1\]:443 is an address.*egress\.resolve/);
    expect(why).not.toMatch(/--allow|egress\.routes/);
  });

  it("says of each rule for the host why it fits or not", () => {
    const { asked, considered, credential } = explain("https://api.example.com/v2", "POST");
    expect(asked).toBe("POST https://api.example.com/v2");
    expect(considered.map((it) => [it.rule, it.fits])).toEqual([
      ["egress.routes[0]", false],
      ["egress.routes[1]", false],
      ["egress.routes[2]", false],
    ]);
    expect(considered[0]?.why).toBe(
      "matches[0]: the path /v2 is not /v1/**; matches[1]: the path /v2 is not /files/*",
    );
    expect(considered[1]?.why).toBe("a route names api.example.com itself");
    expect(considered[2]?.why).toContain("port 8443");
    expect(credential).toBeUndefined();
  });

  it("refuses a method that egress does not know", () => {
    for (const method of ["B D", "get", "", "FOO"]) {
      const explained = explain("https://any.example.com/", method);
      expect(outcome(explained)).toBe("bad-request egress.protocol");
    }
  });

  it("names the credential and its place, and refuses another one", () => {
    expect(explain("https://api.example.com/v1").credential).toBe(
      "API_KEY in Authorization: Bearer",
    );
    const own = explain("https://api.example.com/v1", "GET", [["Authorization", "Bearer mine"]]);
    expect(outcome(own)).toBe("foreign-credential egress.routes[0]");
    const elsewhere = explain("https://other.example.com/", "GET", [["x", "the-placeholder"]]);
    expect(outcome(elsewhere)).toBe("placeholder-elsewhere egress.routes[1]");
  });
});
