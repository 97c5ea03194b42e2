// DER values in their one right form.
import { describe, expect, it } from "vitest";
import { encodeTlv, integer, oid, readTlvs, time } from "./der.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("encoding", () => {
  it.each([
    ["00", "020100"],
    ["01", "020101"],
    ["7f", "02017f"],
    ["80", "02020080"],
    ["0000ff", "020200ff"],
    ["0100", "02020100"],
  ])("integer %s is %s", (bytes, expected) => {
    expect(hex(integer(Buffer.from(bytes, "hex")))).toBe(expected);
  });

  it("writes lengths in the shortest form", () => {
    expect(hex(encodeTlv(4, Buffer.alloc(127))).slice(0, 4)).toBe("047f");
    expect(hex(encodeTlv(4, Buffer.alloc(128))).slice(0, 6)).toBe("048180");
    expect(hex(encodeTlv(4, Buffer.alloc(256))).slice(0, 8)).toBe("04820100");
  });

  it("writes object identifiers", () => {
    expect(hex(oid("1.2.840.10045.4.3.2"))).toBe("06082a8648ce3d040302");
  });

  it.each([
    ["2026-11-21T10:11:12.345Z", "170d3236313132313130313131325a"],
    ["2049-12-31T23:59:59.000Z", "170d3439313233313233353935395a"],
    ["2050-01-01T00:00:00.000Z", "180f32303530303130313030303030305a"],
  ])("time %s", (iso, expected) => {
    expect(hex(time(Date.parse(iso)))).toBe(expected);
  });
});

describe("readTlvs", () => {
  it("reads what was written", () => {
    const bytes = Buffer.concat([integer(Buffer.from([5])), encodeTlv(4, Buffer.alloc(300, 1))]);
    const values = readTlvs(bytes);
    expect(values?.map((it) => [it.tag, it.content.length])).toEqual([
      [2, 1],
      [4, 300],
    ]);
  });

  it.each(["02", "0202ff", "0480", "048500000001ff", "04ff"])("refuses %s", (bytes) => {
    expect(readTlvs(Buffer.from(bytes, "hex"))).toBeUndefined();
  });
});
