// Authorities and leaves, as Node's own X.509 reader sees them.
import { createHash, X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createAuthority } from "./authority.ts";
import { createLeafMinter } from "./leaf.ts";
import { LruMap } from "./lru-map.ts";

const NOW = Date.parse("2026-11-21T10:00:00Z");
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const authority = createAuthority({ commonName: "bot-bottle demo-x1y2z", now: NOW, days: 30 });
const minterAt = (now: number) => createLeafMinter({ ...authority, now: () => now });

describe("createAuthority", () => {
  const certificate = new X509Certificate(authority.certificatePem);

  it("is a self-signed authority for thirty days", () => {
    expect(certificate.ca).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.validFromDate.getTime()).toBe(NOW - HOUR);
    expect(certificate.validToDate.getTime()).toBe(NOW + 30 * DAY);
    expect(certificate.subject).toBe("O=bot-bottle\nCN=bot-bottle demo-x1y2z");
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
  });

  it("gives its fingerprint as programs show it", () => {
    expect(authority.fingerprint256).toBe(certificate.fingerprint256);
    const digest = createHash("sha256").update(certificate.raw).digest("hex");
    expect(authority.fingerprint256.replaceAll(":", "").toLowerCase()).toBe(digest);
  });

  it("never repeats key or serial number", () => {
    const other = createAuthority({ commonName: "bot-bottle demo-x1y2z", now: NOW });
    expect(other.keyPem).not.toBe(authority.keyPem);
    const serial = new X509Certificate(other.certificatePem).serialNumber;
    expect(serial).not.toBe(certificate.serialNumber);
    expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });
});

describe("createLeafMinter", () => {
  it.each([
    ["api.example.com", "DNS:api.example.com"],
    ["localhost", "DNS:localhost"],
    ["_x.example.com", "DNS:_x.example.com"],
    ["127.0.0.1", "IP Address:127.0.0.1"],
    ["::1", "IP Address:0:0:0:0:0:0:0:1"],
    ["2001:db8::1:0:0:1", "IP Address:2001:DB8:0:0:1:0:0:1"],
    ["::ffff:7f00:1", "IP Address:0:0:0:0:0:FFFF:7F00:1"],
    ["::7f00:1", "IP Address:0:0:0:0:0:0:7F00:1"],
    [`${"a".repeat(60)}.${"b".repeat(60)}.test`, `DNS:${"a".repeat(60)}.${"b".repeat(60)}.test`],
  ])("mints for %s", (host, names) => {
    const leaf = new X509Certificate(minterAt(NOW).mint(host).certPem);
    const issuer = new X509Certificate(authority.certificatePem);
    expect(leaf.subjectAltName).toBe(names);
    expect(leaf.checkIssued(issuer)).toBe(true);
    expect(leaf.verify(issuer.publicKey)).toBe(true);
    expect(leaf.ca).toBe(false);
    expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
    expect(leaf.subject).toContain("O=bot-bottle");
    expect(leaf.validFromDate.getTime()).toBe(NOW - HOUR);
    expect(leaf.validToDate.getTime()).toBe(NOW + 7 * DAY);
  });

  it("never outlives its authority", () => {
    const leaf = minterAt(NOW + 28 * DAY).mint("a.test");
    expect(leaf.notAfterMs).toBe(NOW + 30 * DAY);
  });

  it("uses one key for all hosts", () => {
    const minter = minterAt(NOW);
    expect(minter.mint("a.test").keyPem).toBe(minter.mint("b.test").keyPem);
    expect(minter.mint("a.test").certPem).not.toBe(minter.mint("a.test").certPem);
  });

  it.each(["", "*.example.com", "a b", "a\0.test", "A.test", "-a.test", "a..b", "x".repeat(300)])(
    "refuses %j",
    (host) => {
      expect(() => minterAt(NOW).mint(host)).toThrow(/canonical hosts/);
    },
  );

  it("refuses a key that is not the certificate's", () => {
    const { keyPem } = createAuthority({ commonName: "other", now: NOW });
    expect(() => createLeafMinter({ ...authority, keyPem, now: () => NOW })).toThrow(/belongs/);
  });
});

describe("LruMap", () => {
  it("forgets what was used longest ago", () => {
    const map = new LruMap<string, number>(2);
    map.set("a", 1);
    map.set("b", 2);
    map.get("a");
    map.set("c", 3);
    expect([map.get("a"), map.get("b"), map.get("c"), map.size]).toEqual([1, undefined, 3, 2]);
    map.set("a", 4);
    map.delete("c");
    expect([map.get("a"), map.size]).toEqual([4, 1]);
    map.clear();
    expect(map.size).toBe(0);
  });
});
