// Decisions of egress as the guest meets them.
import { describe, expect, it } from "vitest";
import { type Authority, parseAuthority, type Scheme } from "./authority.ts";
import {
  decideAddresses,
  decideConnect,
  decideRequest,
  type PolicyRequest,
  resolutionOf,
} from "./decide.ts";
import type { EgressPolicy, RequestMatch, Route } from "./egress.ts";
import { explainRoute, explainVerdict } from "./explain.ts";
import { normalisePath } from "./path.ts";

const pairHeaders = (flat: readonly string[]): readonly (readonly [string, string])[] =>
  flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? ""] as const] : []));

function route(host: string, more: Partial<Route> = {}): Route {
  return {
    rule: "egress.routes[0]",
    host,
    port: undefined,
    matches: [],
    auth: undefined,
    outboundOnMatch: "block",
    scansOutbound: true,
    allowsGitFetch: false,
    ...more,
  };
}

const match = (more: Partial<RequestMatch>): RequestMatch => ({
  paths: [],
  methods: [],
  headers: [],
  ...more,
});

const policyOf = (...routes: Route[]): EgressPolicy => ({ routes, resolve: {} });

function authority(text: string, scheme: Scheme = "https"): Authority {
  const parsed = parseAuthority(text, scheme);
  if (!parsed.ok) throw new Error(`not an authority: ${text}`);
  return parsed.authority;
}

function request(method: string, url: string, headers: readonly string[] = []): PolicyRequest {
  const [, scheme, host = "", target = "/"] = /^(https?):\/\/([^/]+)(\/.*)?$/.exec(url) ?? [];
  const normal = normalisePath(target);
  if (!normal.ok || (scheme !== "http" && scheme !== "https")) throw new Error(`bad url ${url}`);
  const { path, query } = normal;
  const at = authority(host, scheme);
  return { scheme, authority: at, method, path, query, headers: pairHeaders(headers) };
}

const outcome = (policy: EgressPolicy, it: PolicyRequest): string => {
  const { verdict } = decideRequest(policy, it);
  return verdict.kind === "deny" ? verdict.reason : verdict.kind;
};

const AUTH: Route["auth"] = {
  carrier: { kind: "bearer" },
  slot: "EGRESS_TOKEN_0",
  placeholder: "placeholder-of-api",
  requirePlaceholder: false,
};

describe("hosts and ports", () => {
  it("denies everything without routes", () => {
    const { verdict, route: made } = decideConnect(policyOf(), authority("example.com"));
    expect(verdict).toMatchObject({
      kind: "deny",
      reason: "host-not-allowed",
      rule: "default-deny",
    });
    expect(made).toBeUndefined();
    expect(outcome(policyOf(), request("GET", "http://example.com/"))).toBe("host-not-allowed");
  });

  it("names the key to add", () => {
    const { verdict } = decideConnect(policyOf(), authority("example.com:8443"));
    expect(explainVerdict(verdict)).toContain('"- host: example.com:8443" under egress.routes');
  });

  it.each([
    ["https://example.com/", "allow"],
    ["http://example.com/", "allow"],
    ["https://EXAMPLE.com./", "allow"],
    ["https://example.com:8443/", "host-not-allowed"],
    ["http://example.com:443/", "host-not-allowed"],
    ["https://example.com:80/", "host-not-allowed"],
    ["https://sub.example.com/", "host-not-allowed"],
    ["https://evil-example.com/", "host-not-allowed"],
    ["https://example.com.evil.test/", "host-not-allowed"],
    ["https://constructor/", "host-not-allowed"],
  ])("a route without port: %s gives %s", (url, expected) => {
    expect(outcome(policyOf(route("example.com")), request("GET", url))).toBe(expected);
  });

  it.each([
    ["https://example.com:8443/", "allow"],
    ["http://example.com:8443/", "allow"],
    ["https://example.com/", "host-not-allowed"],
  ])("a route with port 8443: %s gives %s", (url, expected) => {
    const policy = policyOf(route("example.com", { port: 8443 }));
    expect(outcome(policy, request("GET", url))).toBe(expected);
  });

  it("lets CONNECT through to the https port only", () => {
    const policy = policyOf(route("example.com"));
    expect(decideConnect(policy, authority("example.com:443")).verdict.kind).toBe("allow");
    expect(decideConnect(policy, authority("example.com:80")).verdict.kind).toBe("deny");
    expect(decideConnect(policy, authority("example.com:22")).verdict.kind).toBe("deny");
  });
});

describe("matches", () => {
  const policy = policyOf(
    route("api.test", {
      matches: [
        match({
          paths: [{ kind: "prefix", value: "/v1" }],
          methods: ["GET", "HEAD"],
          headers: [{ name: "X-Mode", value: "read" }],
        }),
        match({ paths: [{ kind: "exact", value: "/ping" }] }),
      ],
    }),
  );
  it.each([
    ["GET", "/v1/x", ["x-mode", "read"], "allow"],
    ["GET", "/v1/x", [], "no-match"],
    ["GET", "/v1/x", ["x-mode", "write"], "no-match"],
    ["GET", "/v1/x", ["x-mode", "read", "X-Mode", "write"], "no-match"],
    ["POST", "/v1/x", ["x-mode", "read"], "no-match"],
    ["get", "/v1/x", ["x-mode", "read"], "no-match"],
    ["GET", "/v10", ["x-mode", "read"], "no-match"],
    ["DELETE", "/ping", [], "allow"],
    ["GET", "/ping/x", [], "no-match"],
  ] as const)("%s %s %j: %s", (method, path, headers, expected) => {
    expect(outcome(policy, request(method, `https://api.test${path}`, headers))).toBe(expected);
  });

  it("does not repeat the path in the explanation, because it may hold a secret", () => {
    const { verdict } = decideRequest(policy, request("GET", "https://api.test/leaked-value"));
    expect(explainVerdict(verdict)).not.toContain("leaked-value");
  });
});

describe("credentials need https", () => {
  it("refuses plain http on a route with auth", () => {
    const policy = policyOf(route("api.test", { auth: AUTH }));
    expect(outcome(policy, request("GET", "http://api.test/"))).toBe("plain-http-credential");
    expect(outcome(policy, request("GET", "https://api.test/"))).toBe("allow");
  });
});

describe("git over https", () => {
  const closed = policyOf(route("git.test"));
  const open = policyOf(route("git.test", { allowsGitFetch: true }));
  it.each([
    ["GET", "/r.git/info/refs?service=git-receive-pack", "git-push-refused"],
    ["GET", "/r.git/info/refs?x=1&service=git%2dreceive-pack", "git-push-refused"],
    [
      "GET",
      "/r.git/info/refs?service=git-upload-pack;service=git-receive-pack",
      "git-push-refused",
    ],
    ["POST", "/r.git/git-receive-pack", "git-push-refused"],
    ["POST", "/r.git/git-receive-pack/", "git-push-refused"],
    ["POST", "/r.git/git%2Dreceive-pack", "git-push-refused"],
    ["POST", "/r.git/git-receive-pack;x", "git-push-refused"],
    ["POST", "/r.git/GIT-receive-pack", "git-push-refused"],
    ["GET", "/r.git/info/refs?service=git-upload-pack", "allow"],
    ["GET", "/r.git/info/refs", "allow"],
    ["POST", "/r.git/git-upload-pack", "allow"],
    ["POST", "/r.git/info/lfs/objects/batch", "allow"],
    ["GET", "/docs/info", "allow"],
  ])("%s %s gives %s where fetching is allowed", (method, path, expected) => {
    expect(outcome(open, request(method, `https://git.test${path}`))).toBe(expected);
  });

  it.each([
    "/r.git/info/refs?service=git-upload-pack",
    "/r.git/info/refs",
    "/r.git/git-upload-pack",
    "/r.git/info/lfs/objects/batch",
  ])("%s is refused where fetching is not allowed", (path) => {
    expect(outcome(closed, request("GET", `https://git.test${path}`))).toBe("git-fetch-refused");
  });

  it("knows a push by its content type too", () => {
    const headers = ["Content-Type", "application/x-git-receive-pack-request"];
    expect(outcome(open, request("POST", "https://git.test/x", headers))).toBe("git-push-refused");
  });
});

describe("addresses", () => {
  const policy: EgressPolicy = {
    routes: [],
    resolve: { "inner.test": { address: "127.0.0.1", port: 18_443 } },
  };
  const reason = (host: string, ...addresses: string[]): string | undefined =>
    decideAddresses(policy, authority(host), addresses)?.reason;

  it("refuses all when one answer is forbidden", () => {
    expect(reason("a.test", "1.1.1.1")).toBeUndefined();
    expect(reason("a.test", "1.1.1.1", "10.0.0.1")).toBe("address-forbidden");
    expect(reason("a.test", "::ffff:127.0.0.1")).toBe("address-forbidden");
  });

  it("lets egress.resolve lead inside, for that name only, and never to metadata", () => {
    expect(reason("inner.test", "127.0.0.1")).toBeUndefined();
    expect(reason("inner.test", "169.254.169.254")).toBe("address-forbidden");
    expect(reason("localhost", "127.0.0.1")).toBe("address-forbidden");
    expect(reason("127.0.0.1", "127.0.0.1")).toBe("address-forbidden");
  });

  it("does not take inherited properties for resolutions", () => {
    expect(resolutionOf(policy, authority("constructor"))).toBeUndefined();
    expect(resolutionOf(policy, authority("inner.test"))?.port).toBe(18_443);
  });
});

describe("explainRoute", () => {
  it.each([
    [{}, "api.test over https on 443 and http on 80;"],
    [{ port: 80 }, "api.test:80 over https and http;"],
    [{ auth: AUTH }, "api.test over https on 443, never over http"],
    [{ auth: AUTH, port: 80 }, "api.test:80 over https, never over http"],
  ])("says how a host is reached: %j", (more, text) => {
    expect(explainRoute(route("api.test", more))).toContain(text);
  });

  it("says all that a route allows", () => {
    const text = explainRoute(
      route("api.test", {
        auth: AUTH,
        matches: [match({ paths: [{ kind: "prefix", value: "/v1/" }], methods: ["GET"] })],
      }),
    );
    expect(text).toBe(
      "egress.routes[0]: api.test over https on 443, never over http because it gets a credential; " +
        "GET on /v1/**; credential put into Authorization: Bearer; " +
        "a known secret in what leaves refuses the request",
    );
  });
});
