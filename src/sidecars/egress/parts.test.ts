import {
  brotliCompressSync,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import { describe, expect, it } from "vitest";
import { deny } from "../../policy/decide.ts";
import { parseEgressConfig } from "./config.ts";
import { codingsOf, decodeBody, MAX_LAYERS } from "./decode-body.ts";
import { HeaderBlock } from "./header-block.ts";
import { endToEnd } from "./headers.ts";
import { parseProxyAddress } from "./proxy-address.ts";
import { renderRefusal, statusOf } from "./refusal.ts";

describe("headers", () => {
  it("lose what belongs to the connection and what it names", () => {
    const headers = [
      ["Connection", "close, X-Mine"],
      ["X-Mine", "1"],
      ["TE", "trailers"],
      ["Upgrade", "x"],
      ["Accept", "*/*"],
    ] as const;
    expect(endToEnd(HeaderBlock.of(headers))).toEqual([["Accept", "*/*"]]);
    expect(
      endToEnd(
        HeaderBlock.of([
          ["ACCEPT", "1"],
          ["B_C", "2"],
        ]),
        ["b-c"],
      ),
    ).toEqual([["ACCEPT", "1"]]);
  });
});

const gzipTimes = (bytes: Buffer, times: number): Buffer =>
  times === 0 ? bytes : gzipTimes(gzipSync(bytes), times - 1);

describe("content codings", () => {
  const text = Buffer.from("hello ".repeat(100));
  it.each([
    [["gzip"], gzipSync(text)],
    [["x-gzip"], gzipSync(text)],
    [["gzip"], Buffer.concat([gzipSync(text.subarray(0, 99)), gzipSync(text.subarray(99))])],
    [["deflate"], deflateSync(text)],
    [["deflate"], deflateRawSync(text)],
    [["br"], brotliCompressSync(text)],
    [["zstd"], zstdCompressSync(text)],
    [["gzip", "br"], brotliCompressSync(gzipSync(text))],
    [Array<string>(MAX_LAYERS).fill("gzip"), gzipTimes(text, MAX_LAYERS)],
  ])("undoes %j", async (codings, body) => {
    expect(await decodeBody(body, codings)).toEqual(text);
  });

  it.each([
    ["an unknown one", ["lzma"], text],
    ["broken data", ["gzip"], text],
    ["cut data", ["gzip"], gzipSync(text).subarray(0, -9)],
    ["too many", Array<string>(MAX_LAYERS + 1).fill("gzip"), gzipTimes(text, MAX_LAYERS + 1)],
    ["text behind it", ["gzip"], Buffer.concat([gzipSync(text), text])],
    ["a second stream", ["deflate"], Buffer.concat([deflateSync(text), deflateSync(text)])],
    ["a second bare one", ["deflate"], Buffer.concat([deflateRawSync(text), text])],
    ["a byte behind it", ["br"], Buffer.concat([brotliCompressSync(text), Buffer.alloc(1)])],
    ["a bomb by size", ["gzip"], gzipSync(Buffer.alloc(9 * 1024 * 1024))],
    ["a bomb by ratio", ["gzip"], gzipSync(Buffer.alloc(1024 * 1024))],
  ])("gives up on %s", async (_name, codings, body) => {
    expect(await decodeBody(body, codings)).toBeUndefined();
  });

  it("are read from all headers, without identity", () => {
    expect(codingsOf(["GZIP, identity", " br "])).toEqual(["gzip", "br"]);
  });
});

describe("a refusal", () => {
  const verdict = deny(
    "host-not-allowed",
    "default-deny",
    "a.test is not allowed: no route names it; add it",
  );
  it("says reason, what was asked and how to ask for it", () => {
    expect(renderRefusal(verdict, "CONNECT a.test:443")).toBe(
      "egress: host-not-allowed: a.test is not allowed: no route names it\nasked: CONNECT a.test:443\nrule: default-deny\nto go on: add it\n",
    );
  });

  it("keeps the guest's own words to one short line", () => {
    const text = renderRefusal(verdict, `GET x\r\negress: allowed: all ${"y".repeat(1000)}`);
    expect(text.split("\n")).toHaveLength(5);
    expect(text.length).toBeLessThan(600);
  });

  it("is 403, unless the request or the upstream is at fault", () => {
    expect(statusOf(verdict)).toBe(403);
    expect(statusOf({ reason: "bad-request" })).toBe(400);
    expect(statusOf({ reason: "upstream-failed" })).toBe(502);
    expect(statusOf({ reason: "upgrade-refused" })).toBe(403);
    expect(statusOf({ reason: "upgrade-refused" }, true)).toBe(426);
  });
});

describe("an upstream proxy's address", () => {
  it("is http, host and port", () => {
    expect(parseProxyAddress("http://proxy.test:3128")).toEqual({ host: "proxy.test", port: 3128 });
    expect(parseProxyAddress("http://[::1]")).toEqual({ host: "::1", port: 80 });
  });

  it.each([
    "https://proxy.test",
    "http://u:p@proxy.test",
    "http://proxy.test/x",
    "proxy.test:3128",
    "",
  ])("is not %j", (text) => {
    expect(() => parseProxyAddress(text)).toThrow(/upstream_proxy/);
  });
});

describe("the configuration", () => {
  const good = {
    policy: { routes: [], resolve: {} },
    logLevel: 0,
    upstreamCa: [],
    scanSlots: [],
    placeholders: [],
    caCertificate: "",
  };
  const withResolve = (resolve: object): object => ({ ...good, policy: { routes: [], resolve } });
  const withRoute = ({
    carrier = { kind: "bearer" },
    paths = [],
    methods = [],
  }: {
    readonly carrier?: object;
    readonly paths?: readonly object[];
    readonly methods?: readonly string[];
  }): object => {
    const route = {
      ...{ rule: "r", host: "a.test", matches: [{ paths, methods, headers: [] }] },
      auth: { carrier, slot: "EGRESS_TOKEN_0", placeholder: "p", requirePlaceholder: false },
      ...{ outboundOnMatch: "block", scansOutbound: true, allowsGitFetch: false },
    };
    return { ...good, policy: { routes: [route], resolve: {} } };
  };

  it("takes a route as the planner writes it", () => {
    const carrier = { kind: "header", name: "X-Api-Key" };
    const paths = [{ kind: "prefix", value: "/v1/" }];
    expect(() => parseEgressConfig(withRoute({ carrier, paths, methods: ["GET"] }))).not.toThrow();
  });

  it("is complete after parsing", () => {
    expect(parseEgressConfig(good)).toEqual({ ...good, upstreamProxy: undefined });
  });

  it.each([
    [{ ...good, logLevel: 3 }, "logLevel"],
    [{ ...good, extra: 1 }, ""],
    [{ ...good, policy: { routes: [{ host: "a" }], resolve: {} } }, "policy.routes.0"],
    [withResolve({ "API.test": { address: "10.0.0.1" } }), "host names in canonical form"],
    [withResolve({ "api.test.": { address: "10.0.0.1" } }), "host names in canonical form"],
    [withResolve({ "a.test": { address: "999.0.0.1" } }), "policy.resolve.a.test.address"],
    [
      withResolve({ "a.test": { address: "10.0.0.1", port: 99_999 } }),
      "policy.resolve.a.test.port",
    ],
    [withRoute({ carrier: { kind: "header", name: "Host" } }), "carrier.name: a header's name"],
    [withRoute({ carrier: { kind: "header", name: "X Y" } }), "carrier.name: a header's name"],
    [withRoute({ carrier: { kind: "query", name: "a&b" } }), "carrier.name: a query field's name"],
    [withRoute({ paths: [{ kind: "prefix", value: "api" }] }), "paths.0: a path as requests"],
    [withRoute({ paths: [{ kind: "exact", value: "/%61pi" }] }), "paths.0: a path as requests"],
    [withRoute({ methods: ["GET POST"] }), "methods.0: a method"],
    [undefined, ""],
  ])("refuses what is malformed, with its place", (value, place) => {
    expect(() => parseEgressConfig(value)).toThrow(place);
  });
});
