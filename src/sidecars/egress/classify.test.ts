import { describe, expect, it } from "vitest";
import type { Authority } from "../../policy/authority.ts";
import { classify, type RawRequest } from "./classify.ts";
import { HeaderBlock } from "./header-block.ts";

const pairHeaders = (flat: readonly string[]): readonly (readonly [string, string])[] =>
  flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? ""] as const] : []));

const tunnel: Authority = { host: "api.test", port: 443, kind: "name" };
interface More extends Partial<RawRequest> {
  /** Header lines behind Host. */
  readonly headers?: readonly string[];
  readonly rawHeaders?: readonly string[];
}
const raw = ({ headers = [], rawHeaders, ...more }: More = {}): RawRequest => {
  const block = HeaderBlock.of(pairHeaders(rawHeaders ?? ["Host", "api.test", ...headers]));
  const hosts = block.values("host");
  const framing = { kind: "none" } as const;
  return { method: "GET", target: "/", version: "1.1", hosts, block, framing, ...more };
};
const reason = (request: RawRequest, isTunnelled = true): string => {
  const result = classify(request, isTunnelled ? tunnel : undefined);
  return result.kind === "deny" ? result.reason : "classified";
};

describe("classifying", () => {
  it("gives the one canonical form", () => {
    const request = raw({
      method: "POST",
      target: "/a/%62?x=%2e",
      headers: ["X-A", "1"],
      framing: { kind: "length", length: 5 },
    });
    expect(classify(request, tunnel)).toEqual({
      kind: "classified",
      scheme: "https",
      authority: tunnel,
      method: "POST",
      path: "/a/b",
      query: "x=%2e",
      headers: [
        ["Host", "api.test"],
        ["X-A", "1"],
      ],
      block: request.block,
      framing: { kind: "length", length: 5 },
      isWebSocket: false,
    });
  });

  it.each([
    "http://plain.test",
    "http://plain.test/",
    "HTTP://PLAIN.test:80/",
    "http://plain.test?q",
  ])("reads %s", (url) => {
    const request = raw({ target: url, rawHeaders: ["Host", "Plain.Test"] });
    expect(classify(request, undefined)).toMatchObject({
      scheme: "http",
      authority: { host: "plain.test", port: 80 },
      path: "/",
    });
  });

  it.each([
    ["a Host of another server", "authority-mismatch", raw({ rawHeaders: ["Host", "evil.test"] })],
    [
      "a Host of another port",
      "authority-mismatch",
      raw({ rawHeaders: ["Host", "api.test:8443"] }),
    ],
    ["no Host", "bad-request", raw({ rawHeaders: [] })],
    ["two Hosts", "bad-request", raw({ headers: ["host", "api.test"] })],
    ["a Host that is none", "bad-authority", raw({ rawHeaders: ["Host", "a b"] })],
    ["an absolute target in a tunnel", "bad-request", raw({ target: "https://api.test/" })],
    ["a star", "bad-request", raw({ method: "OPTIONS", target: "*" })],
    ["dots", "bad-request", raw({ target: "/a/../b" })],
    ["an escaped slash with dots", "bad-request", raw({ target: "/a/..%2fb" })],
    ["TRACE", "bad-request", raw({ method: "TRACE" })],
    ["CONNECT", "bad-request", raw({ method: "CONNECT" })],
    ["a WebSocket", "upgrade-refused", raw({ headers: ["Upgrade", "websocket"] })],
    ["h2c", "upgrade-refused", raw({ headers: ["HTTP2-Settings", "x"] })],
    ["an unknown expectation", "bad-request", raw({ headers: ["Expect", "a-miracle"] })],
  ])("refuses %s", (_name, expected, request) => {
    expect(reason(request)).toBe(expected);
  });

  it.each(["/", "https://api.test/", "ftp://api.test/", "http:///x", "api.test:443", ""])(
    "needs an absolute target outside of tunnels: %j",
    (url) => {
      expect(reason(raw({ target: url }), false)).toMatch(/^bad-/);
    },
  );
});
