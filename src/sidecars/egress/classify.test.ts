import { describe, expect, it } from "vitest";
import type { Authority } from "../../policy/authority.ts";
import { classify, type RawRequest } from "./classify.ts";

const tunnel: Authority = { host: "api.test", port: 443, kind: "name" };
const raw = (more: Partial<RawRequest> & { headers?: string[] } = {}): RawRequest => ({
  method: "GET",
  url: "/",
  httpVersion: "1.1",
  rawHeaders: ["Host", "api.test", ...(more.headers ?? [])],
  ...more,
});
const reason = (request: RawRequest, isTunnelled = true): string => {
  const result = classify(request, isTunnelled ? tunnel : undefined);
  return result.kind === "deny" ? result.reason : "classified";
};

describe("classifying", () => {
  it("gives the one canonical form", () => {
    const request = raw({
      method: "POST",
      url: "/a/%62?x=%2e",
      headers: ["Content-Length", "5", "X-A", "1"],
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
        ["Content-Length", "5"],
        ["X-A", "1"],
      ],
      framing: { kind: "length", length: 5 },
    });
  });

  it.each([
    "http://plain.test",
    "http://plain.test/",
    "HTTP://PLAIN.test:80/",
    "http://plain.test?q",
  ])("reads %s", (url) => {
    const request = raw({ url, rawHeaders: ["Host", "Plain.Test"] });
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
    ["an absolute target in a tunnel", "bad-request", raw({ url: "https://api.test/" })],
    ["a star", "bad-request", raw({ method: "OPTIONS", url: "*" })],
    ["dots", "bad-request", raw({ url: "/a/../b" })],
    ["an escaped slash with dots", "bad-request", raw({ url: "/a/..%2fb" })],
    ["TRACE", "bad-request", raw({ method: "TRACE" })],
    ["CONNECT", "bad-request", raw({ method: "CONNECT" })],
    ["a WebSocket", "upgrade-refused", raw({ headers: ["Upgrade", "websocket"] })],
    ["h2c", "upgrade-refused", raw({ headers: ["HTTP2-Settings", "x"] })],
    [
      "length and chunks",
      "bad-request",
      raw({ headers: ["Content-Length", "1", "Transfer-Encoding", "chunked"] }),
    ],
    [
      "two lengths",
      "bad-request",
      raw({ headers: ["Content-Length", "1", "content-length", "1"] }),
    ],
    ["a signed length", "bad-request", raw({ headers: ["Content-Length", "+1"] })],
    [
      "another transfer encoding",
      "bad-request",
      raw({ headers: ["Transfer-Encoding", "gzip, chunked"] }),
    ],
    [
      "chunks in HTTP/1.0",
      "bad-request",
      raw({ httpVersion: "1.0", headers: ["Transfer-Encoding", "chunked"] }),
    ],
  ])("refuses %s", (_name, expected, request) => {
    expect(reason(request)).toBe(expected);
  });

  it.each(["/", "https://api.test/", "ftp://api.test/", "http:///x", "api.test:443", ""])(
    "needs an absolute target outside of tunnels: %j",
    (url) => {
      expect(reason(raw({ url }), false)).toMatch(/^bad-/);
    },
  );
});
