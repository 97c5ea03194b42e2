import { describe, expect, it } from "vitest";
import { parseAuthority } from "../../policy/authority.ts";
import type { EgressPolicy } from "../../policy/egress.ts";
import { type LocateOptions, locate } from "./locate.ts";

const policy: EgressPolicy = {
  routes: [],
  resolve: {
    "pinned.test": { address: "10.1.2.3", port: 8443 },
    "same-port.test": { address: "127.0.0.1", port: undefined },
    "metadata.test": { address: "169.254.169.254", port: undefined },
    "own.test": { address: "127.0.0.1", port: 9099 },
  },
};
const options = (
  answers: readonly string[] | Error,
  more: Partial<LocateOptions> = {},
): LocateOptions => ({
  policy,
  lookup: () => (answers instanceof Error ? Promise.reject(answers) : Promise.resolve(answers)),
  hasProxy: false,
  ownListeners: [{ address: "127.0.0.1", port: 9099 }],
  ...more,
});
const find = async (host: string, with_: LocateOptions): Promise<unknown> => {
  const parsed = parseAuthority(host, "https");
  return parsed.ok ? locate(parsed.authority, with_) : parsed;
};

describe("locating", () => {
  it("dials what was looked up, all of it public", async () => {
    const found = await find("a.test", options(["93.184.216.34", "2606:4700::1111"]));
    expect(found).toEqual({
      kind: "place",
      addresses: ["93.184.216.34", "2606:4700::1111"],
      port: 443,
      isPinned: false,
    });
  });

  it.each([
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "fe80::1%eth0",
    "0.0.0.0",
    "224.0.0.1",
  ])("refuses a name when one answer is %s", async (address) => {
    expect(await find("a.test", options(["93.184.216.34", address]))).toMatchObject({
      kind: "deny",
      reason: "address-forbidden",
    });
  });

  it("follows resolve, on its port or the request's, but not everywhere", async () => {
    const never = options(new Error("must not be asked"));
    expect(await find("pinned.test:9", never)).toMatchObject({
      addresses: ["10.1.2.3"],
      port: 8443,
      isPinned: true,
    });
    expect(await find("same-port.test:444", never)).toMatchObject({
      addresses: ["127.0.0.1"],
      port: 444,
    });
    for (const host of ["metadata.test", "own.test"]) {
      expect(await find(host, never)).toMatchObject({ kind: "deny", reason: "address-forbidden" });
    }
  });

  it("reaches no address that is asked for as one", async () => {
    for (const host of ["93.184.216.34", "1572395042", "[2606:4700::1111]"]) {
      expect(await find(host, options(["93.184.216.34"]))).toMatchObject({
        reason: "address-forbidden",
      });
    }
  });

  it("leaves unknown names to an upstream proxy, and only to one", async () => {
    const unknown = Object.assign(new Error("no"), { code: "ENOTFOUND" });
    expect(await find("a.test", options(unknown))).toMatchObject({
      kind: "deny",
      reason: "resolve-failed",
    });
    expect(await find("a.test", options([]))).toMatchObject({ reason: "resolve-failed" });
    expect(await find("a.test", options(unknown, { hasProxy: true }))).toMatchObject({
      kind: "place",
      addresses: [],
    });
    expect(await find("a.test", options(["10.0.0.1"], { hasProxy: true }))).toMatchObject({
      reason: "address-forbidden",
    });
  });
});
