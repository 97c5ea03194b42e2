import { describe, expect, it } from "vitest";
import { parseRoutesFile } from "./routes-file.ts";

const parse = (content: unknown): ReturnType<typeof parseRoutesFile> =>
  parseRoutesFile(JSON.stringify(content), {
    path: "/etc/egress/routes.json",
    suffixes: () => (host) => host === "pages.test",
  });

describe("the routes file of a bundle by hand", () => {
  it("gives what egress enforces", () => {
    const { policy, logLevel } = parse({
      routes: [
        {
          host: "API.example.test:8443",
          paths: ["/v1/"],
          methods: ["get"],
          token: "EGRESS_TOKEN_0",
          carrier: "header:X-Key",
          placeholder: "later",
        },
        { host: "*.example.test" },
      ],
      resolve: { "api.example.test": "10.0.0.5:8443", "b.test": "[fd00::1]:1" },
      log: 2,
    });
    expect(logLevel).toBe(2);
    expect(policy.routes).toMatchObject([
      {
        ...{ rule: "routes[0]", host: "api.example.test", port: 8443, outboundOnMatch: "block" },
        matches: [{ paths: [{ kind: "prefix", value: "/v1/" }], methods: ["GET"], headers: [] }],
        auth: {
          carrier: { kind: "header", name: "X-Key" },
          slot: "EGRESS_TOKEN_0",
          placeholder: "later",
        },
      },
      {
        host: "*.example.test",
        port: undefined,
        matches: [],
        auth: undefined,
        scansOutbound: true,
      },
    ]);
    expect(policy.resolve).toEqual({
      "api.example.test": { address: "10.0.0.5", port: 8443 },
      "b.test": { address: "fd00::1", port: 1 },
    });
  });

  it.each([
    ["no routes", {}],
    ["an unknown key", { routes: [], allow: ["*"] }],
    ["an unknown key of a route", { routes: [{ host: "a.test", dlp: false }] }],
    ["no host", { routes: [{ host: "" }] }],
    ["a wildcard over everything", { routes: [{ host: "*" }] }],
    ["a wildcard over a public suffix", { routes: [{ host: "*.com" }] }],
    ["a wildcard below names of strangers", { routes: [{ host: "*.pages.test" }] }],
    ["a URL as host", { routes: [{ host: "https://a.test/" }] }],
    [
      "an unknown carrier",
      { routes: [{ host: "a.test", token: "EGRESS_TOKEN_0", carrier: "cookie" }] },
    ],
    ["a header without a name", { routes: [{ host: "a.test", token: "T", carrier: "header:" }] }],
    ["a name as resolution", { routes: [], resolve: { "a.test": "b.test" } }],
    ["an address that is none", { routes: [], resolve: { "a.test": "999.0.0.1" } }],
    ["a port that is none", { routes: [], resolve: { "a.test": "10.0.0.1:99999" } }],
    ["an address to resolve", { routes: [], resolve: { "10.0.0.1": "10.0.0.2" } }],
    ["a name with a port to resolve", { routes: [], resolve: { "a.test:443": "10.0.0.2" } }],
    ["a name twice", { routes: [], resolve: { "a.test": "10.0.0.1", "A.test.": "10.0.0.2" } }],
    ["an unknown level", { routes: [], log: 3 }],
  ])("is refused with %s", (_what, content) =>
    expect(() => parse(content)).toThrow(/cannot be used/),
  );

  it.each([
    [{ carrier: "header:Host" }, "another header is expected"],
    [{ carrier: "header:X Y" }, "a name such as X-Api-Key is expected"],
    [
      { carrier: "query:a&b" },
      "a name of letters, digits, dots, hyphens or underscores is expected",
    ],
    [{ carrier: "basic:a:b" }, "one line without a colon is expected"],
    [{ paths: ["api"] }, "a path as requests have it that begins with a slash is expected"],
    [{ paths: ["/%61pi"] }, 'a path as requests have it, "/api", is expected'],
    [{ paths: ["/a?b=c"] }, 'a path as requests have it, "/a", is expected'],
    [{ methods: ["GET POST"] }, "a method such as GET is expected"],
    [{ methods: ["connect"] }, "another method is expected"],
  ])("says what is expected in place of %j", (part, expected) => {
    const [key = ""] = Object.keys(part);
    const routes = [{ host: "a.test", token: "EGRESS_TOKEN_0", ...part }];
    expect(() => parse({ routes })).toThrow(`routes[0].${key} cannot be used`);
    expect(() => parse({ routes })).toThrow(expected);
  });

  it("leads names on by their canonical form", () => {
    const resolve = {
      "API.Example.test": "10.0.0.1",
      "b.test.": "[FD00:0::1]:8443",
      "c.test": "::1",
    };
    expect(parse({ routes: [], resolve }).policy.resolve).toEqual({
      "api.example.test": { address: "10.0.0.1", port: undefined },
      "b.test": { address: "fd00::1", port: 8443 },
      "c.test": { address: "::1", port: undefined },
    });
  });

  it("is refused when it is not JSON, without repeating it", () => {
    const broken = (): unknown =>
      parseRoutesFile("routes:\n- token: s3cret", {
        path: "routes.yaml",
        suffixes: () => undefined,
      });
    expect(broken).toThrow(/not JSON/);
    expect(broken).not.toThrow(/s3cret/);
  });

  it("has no wildcard where nobody knows the public suffixes, and needs none without", () => {
    const place = { path: "routes.json", suffixes: () => undefined };
    const read = (host: string): unknown =>
      parseRoutesFile(JSON.stringify({ routes: [{ host }] }), place);
    expect(() => read("*.example.test")).toThrow(/public suffixes is not there/);
    expect(read("a.example.test")).toMatchObject({
      policy: { routes: [{ host: "a.example.test" }] },
    });
  });
});
