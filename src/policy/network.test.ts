// Kinds of addresses, the bounds of their ranges, and every form that carries an IPv4 address.
import { describe, expect, it } from "vitest";
import { classifyAddress, isForbidden, isForbiddenForResolve } from "./network.ts";

describe("classifyAddress", () => {
  it.each([
    ["1.1.1.1", "public"],
    ["9.255.255.255", "public"],
    ["10.0.0.0", "private"],
    ["10.255.255.255", "private"],
    ["11.0.0.0", "public"],
    ["100.63.255.255", "public"],
    ["100.64.0.0", "cgnat"],
    ["100.127.255.255", "cgnat"],
    ["100.128.0.0", "public"],
    ["100.100.100.200", "metadata"],
    ["127.0.0.1", "loopback"],
    ["127.255.255.255", "loopback"],
    ["168.63.129.16", "metadata"],
    ["169.254.1.1", "link-local"],
    ["169.254.169.254", "metadata"],
    ["169.254.170.2", "metadata"],
    ["172.15.255.255", "public"],
    ["172.16.0.0", "private"],
    ["172.31.255.255", "private"],
    ["172.32.0.0", "public"],
    ["192.0.0.1", "reserved"],
    ["192.0.2.1", "reserved"],
    ["192.168.1.1", "private"],
    ["198.18.0.1", "reserved"],
    ["198.19.255.255", "reserved"],
    ["198.20.0.0", "public"],
    ["203.0.113.9", "reserved"],
    ["223.255.255.255", "public"],
    ["224.0.0.1", "multicast"],
    ["240.0.0.1", "reserved"],
    ["255.255.255.255", "reserved"],
    ["0.0.0.0", "unspecified"],
    ["0.0.0.1", "reserved"],
    ["::", "unspecified"],
    ["::1", "loopback"],
    ["::ffff:127.0.0.1", "loopback"],
    ["::ffff:169.254.169.254", "metadata"],
    ["::ffff:1.1.1.1", "translated"],
    ["::ffff:0:10.0.0.1", "private"],
    ["::7f00:1", "loopback"],
    ["::1.1.1.1", "translated"],
    ["64:ff9b::a9fe:a9fe", "metadata"],
    ["64:ff9b::1.1.1.1", "translated"],
    ["64:ff9b:1::10.0.0.1", "private"],
    ["64:ff9b:1:ffff::1.1.1.1", "translated"],
    ["2002:7f00:1::", "loopback"],
    ["2002:a9fe:a9fe::1", "metadata"],
    ["2002:101:101::1", "translated"],
    ["2001:0:1:2:3:4:80ff:fffe", "loopback"],
    ["2001::5601:5601", "metadata"],
    ["2606:4700::5efe:10.0.0.1", "private"],
    ["fe80::1", "link-local"],
    ["febf::1", "link-local"],
    ["fec0::1", "private"],
    ["fc00::1", "private"],
    ["fdff::1", "private"],
    ["fd00:ec2::254", "metadata"],
    ["fd20:ce::254", "metadata"],
    ["ff02::1", "multicast"],
    ["2001:db8::1", "reserved"],
    ["2001:20::1", "reserved"],
    ["2001:200::1", "public"],
    ["3fff::1", "reserved"],
    ["100::1", "reserved"],
    ["5f00::1", "reserved"],
    ["2606:4700:4700::1111", "public"],
    ["2a00:1450:4001:80b::200e", "public"],
  ])("%s is %s", (ip, kind) => {
    expect(classifyAddress(ip)).toBe(kind);
    expect(isForbidden(ip)).toBe(kind !== "public");
  });

  it.each(["", "127.1", "0x7f.0.0.1", "01.1.1.1", "1.1.1.1 ", "fe80::1%eth0", "[::1]", "x"])(
    "%j is no address and forbidden",
    (ip) => {
      expect(classifyAddress(ip)).toBe("invalid");
      expect(isForbidden(ip)).toBe(true);
      expect(isForbiddenForResolve(ip)).toBe(true);
    },
  );
});

describe("isForbiddenForResolve", () => {
  it.each(["127.0.0.1", "::1", "10.0.0.5", "fd12::1", "100.64.0.1", "1.1.1.1"])("%s may", (ip) => {
    expect(isForbiddenForResolve(ip)).toBe(false);
  });

  it.each([
    "169.254.169.254",
    "fd00:ec2::254",
    "100.100.100.200",
    "169.254.7.7",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:a00:1::",
  ])("%s may not", (ip) => {
    expect(isForbiddenForResolve(ip)).toBe(true);
  });
});
