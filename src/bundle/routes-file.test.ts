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
    ["an unknown level", { routes: [], log: 3 }],
  ])("is refused with %s", (_what, content) =>
    expect(() => parse(content)).toThrow(/cannot be used/),
  );

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
