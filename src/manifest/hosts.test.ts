// One spelling per host: what two parsers could read differently never becomes a route.
import { expect, it } from "vitest";
import { parseEndpoint, parseProxyUrl, parseResolve, parseRouteHost } from "./hosts.ts";

it.each([
  ["api.example.com", "api.example.com", undefined],
  ["API.Example.COM.", "api.example.com", undefined],
  ["api.example.com:8443", "api.example.com", 8443],
  ["bücher.example", "xn--bcher-kva.example", undefined],
  ["ｅxample.com", "example.com", undefined],
  ["*.example.com", "*.example.com", undefined],
  ["intranet", "intranet", undefined],
  ["_dmarc.example.com", "_dmarc.example.com", undefined],
])("%s is %s, port %s", (text, host, port) => {
  expect(parseRouteHost(text)).toEqual({ kind: "ok", value: { host, port } });
});

it.each([
  "",
  ".",
  "..",
  "a..b",
  "-a.example",
  "a.example:",
  "a.example:0",
  "a.example:65536",
  "a.example:080",
  "a.example:1:2",
  "https://a.example",
  "a.example/x",
  "a.example?x",
  "a.example#x",
  "a.example\\x",
  "u@a.example",
  "a .example",
  "a.example\n",
  "a.example\u0000",
  "a%2eexample",
  "a,b",
  "*",
  "*.com",
  "*.*.example.com",
  "a.*.example.com",
  "*a.example.com",
  `${"a".repeat(64)}.example`,
  `${"a.".repeat(130)}example`,
  "127.0.0.1",
  "127.1",
  "0x7f000001",
  "2130706433",
  "0177.0.0.1",
  "１２７.0.0.1",
  "::1",
  "[::1]",
  "[::1]:443",
  "[::ffff:127.0.0.1]",
  "localhost",
  "LOCALHOST.",
  "x.localhost",
  "*.x.localhost",
  "egress",
  "git-gate",
  "supervise",
])("%j is not a route's host", (text) => {
  expect(parseRouteHost(text).kind).toBe("fault");
});

it.each([
  ["127.0.0.1", "127.0.0.1", undefined],
  ["127.0.0.1:18443", "127.0.0.1", 18443],
  ["::1", "::1", undefined],
  ["[::1]:443", "::1", 443],
  ["[FE80::1]", "fe80::1", undefined],
])("resolve leads %s to %s, port %s", (text, address, port) => {
  expect(parseEndpoint(text)).toEqual({ kind: "ok", value: { address, port } });
});

it.each([
  "localhost",
  "a.example",
  "127.1",
  "127.0.0.1:0",
  "[127.0.0.1]",
  "[::1",
  "::1:x",
  "",
  "1.2.3.4 ",
])("%j is not an address to resolve to", (text) => {
  expect(parseEndpoint(text).kind).toBe("fault");
});

it.each([
  "169.254.169.254",
  "169.254.1.1:80",
  "0.0.0.0",
  "224.0.0.1",
  "[fe80::1]:80",
  "::ffff:10.0.0.1",
])("%j is an address that nothing may be resolved to", (text) => {
  const parsed = parseResolve(text);
  expect(parsed.kind === "fault" && parsed.seen).toMatch(/which egress never reaches$/);
});

it.each(["127.0.0.1:8443", "10.1.2.3", "93.184.216.34", "[::1]:443", "100.64.0.1", "fd00::1"])(
  "%j may be resolved to",
  (text) => expect(parseResolve(text).kind).toBe("ok"),
);

it.each([
  "socks5://p.example",
  "https://p.example:3128",
  "http://u:p@p.example",
  "http://p.example/x",
  "p.example:3128",
  "http://",
  "http://a b",
])("%j is not an upstream proxy", (text) => {
  expect(parseProxyUrl(text).kind).toBe("fault");
});
