// Every spelling of a host has one canonical form, and no spelling of an address passes as a name.
import { describe, expect, it } from "vitest";
import {
  formatAuthority,
  formatHostHeader,
  parseAuthority,
  type Scheme,
  sameAuthority,
} from "./authority.ts";

function parsed(text: string, scheme: Scheme = "https"): string {
  const result = parseAuthority(text, scheme);
  return result.ok ? `${result.authority.kind} ${formatAuthority(result.authority)}` : "refused";
}

describe("names", () => {
  it.each([
    ["api.example.com", "name api.example.com:443"],
    ["API.Example.COM", "name api.example.com:443"],
    ["api.example.com.", "name api.example.com:443"],
    ["api.example.com:8443", "name api.example.com:8443"],
    ["api.example.com.:443", "name api.example.com:443"],
    ["_dmarc.example.com", "name _dmarc.example.com:443"],
    ["localhost", "name localhost:443"],
    ["localhost.", "name localhost:443"],
    ["bücher.example", "name xn--bcher-kva.example:443"],
    ["BÜCHER.example", "name xn--bcher-kva.example:443"],
    ["xn--bcher-kva.example", "name xn--bcher-kva.example:443"],
    ["XN--BCHER-KVA.example", "name xn--bcher-kva.example:443"],
    ["ｅxample。com", "name example.com:443"],
    ["1e100.net", "name 1e100.net:443"],
    ["0x7f.example", "name 0x7f.example:443"],
    [`${"a".repeat(63)}.example`, `name ${"a".repeat(63)}.example:443`],
  ])("%j is %j", (text, expected) => {
    expect(parsed(text)).toBe(expected);
  });

  it("takes the default port from the scheme", () => {
    expect(parsed("example.com", "http")).toBe("name example.com:80");
    expect(parsed("example.com", "https")).toBe("name example.com:443");
  });
});

describe("addresses", () => {
  it.each([
    ["127.0.0.1", "ipv4 127.0.0.1:443"],
    ["127.0.0.1.", "ipv4 127.0.0.1:443"],
    ["127.1", "ipv4 127.0.0.1:443"],
    ["127.0.1", "ipv4 127.0.0.1:443"],
    ["2130706433", "ipv4 127.0.0.1:443"],
    ["0x7f000001", "ipv4 127.0.0.1:443"],
    ["0X7F.1", "ipv4 127.0.0.1:443"],
    ["017700000001", "ipv4 127.0.0.1:443"],
    ["0177.0.0.01", "ipv4 127.0.0.1:443"],
    ["0", "ipv4 0.0.0.0:443"],
    ["0x", "ipv4 0.0.0.0:443"],
    ["１２７.0.0.1", "ipv4 127.0.0.1:443"],
    ["①②⑦.0.0.1", "ipv4 127.0.0.1:443"],
    ["169.254.169.254:80", "ipv4 169.254.169.254:80"],
    ["[::1]", "ipv6 [::1]:443"],
    ["[0:0:0:0:0:0:0:1]:8080", "ipv6 [::1]:8080"],
    ["[::FFFF:127.0.0.1]", "ipv6 [::ffff:7f00:1]:443"],
    ["[2001:DB8:0:0:1:0:0:1]", "ipv6 [2001:db8::1:0:0:1]:443"],
  ])("%j is %j", (text, expected) => {
    expect(parsed(text)).toBe(expected);
  });
});

describe("refusals", () => {
  it.each([
    "",
    ".",
    "..",
    ":80",
    "example.com:",
    "example.com:0",
    "example.com:0443",
    "example.com:65536",
    "example.com:+443",
    "example.com:443:443",
    "user@example.com",
    "user:pass@example.com",
    "example.com@evil.test",
    "exa mple.com",
    " example.com",
    "example.com\r\nHost: evil.test",
    "example.com\0.evil.test",
    "example.com\t",
    "example.com/path",
    "example.com\\@evil.test",
    "example.com?x",
    "example.com#x",
    "%65xample.com",
    "127.0.0.1%00",
    "exa\u200bmple.com",
    "exa\u00admple.com",
    "*.example.com",
    "example..com",
    "example.com..",
    ".example.com",
    "-a.example",
    "a-.example",
    "a,b.example",
    `${"a".repeat(64)}.example`,
    `${"a.".repeat(127)}example`,
    "xn--",
    "xn--.example",
    "256.0.0.1",
    "1.2.3.4.5",
    "1.2.3.08",
    "4294967296",
    "0x100000000",
    "example.0x1",
    "example.1",
    "::1",
    "fe80::1",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[::1",
    "::1]",
    "[]",
    "[127.0.0.1]",
    "[::1]x",
    "[[::1]]",
    "[1::2::3]",
    "[::12345]",
    "[::1.2.3]",
    "[::01.2.3.4]",
    "a".repeat(2000),
  ])("%j", (text) => {
    expect(parsed(text)).toBe("refused");
  });
});

describe("helpers", () => {
  it("compares and prints", () => {
    const a = parseAuthority("EXAMPLE.com", "https");
    const b = parseAuthority("example.com.:443", "http");
    const c = parseAuthority("example.com", "http");
    if (!a.ok || !b.ok || !c.ok) throw new Error("these are authorities");
    expect(sameAuthority(a.authority, b.authority)).toBe(true);
    expect(sameAuthority(a.authority, c.authority)).toBe(false);
    expect(formatHostHeader(a.authority, "https")).toBe("example.com");
    expect(formatHostHeader(a.authority, "http")).toBe("example.com:443");
    const v6 = parseAuthority("[::1]", "http");
    expect(v6.ok && formatHostHeader(v6.authority, "http")).toBe("[::1]");
  });
});
