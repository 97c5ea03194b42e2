import { describe, expect, it } from "vitest";
import { parseBottleId } from "../base/ids.ts";
import { resolveNetwork } from "./resolve-network.ts";

const ID = parseBottleId("worker-ab12c");

describe("a bottle's network", () => {
  it("is a /24 of 192.168.0.0/16 with the bundle at .2", () => {
    const network = resolveNetwork(ID, "bot-bottle-net-worker-ab12c", []);
    expect(network.subnet).toMatch(/^192\.168\.\d+\.0\/24$/);
    expect(network.bundleAddress).toBe(network.subnet.replace("0/24", "2"));
    expect(network.gateway).toBe(network.subnet.replace("0/24", "1"));
  });

  it("is the same for the same slug and moves on where it is taken", () => {
    const first = resolveNetwork(ID, "n", []);
    expect(resolveNetwork(ID, "n", [])).toEqual(first);
    const second = resolveNetwork(ID, "n", [first.subnet]);
    expect(second.subnet).not.toBe(first.subnet);
    expect(resolveNetwork(ID, "n", [first.subnet, second.subnet]).subnet).not.toBe(second.subnet);
  });

  it("ignores default routes and what is not IPv4", () => {
    const first = resolveNetwork(ID, "n", []);
    expect(resolveNetwork(ID, "n", ["0.0.0.0/0", "fd00::/8", "nonsense"])).toEqual(first);
  });

  it("never uses 192.168.17.0/24", () => {
    const all = Array.from({ length: 256 }, (_, octet) => octet).filter((octet) => octet !== 17);
    const taken = all.map((octet) => `192.168.${octet}.0/24`);
    expect(() => resolveNetwork(ID, "n", taken)).toThrow(/no subnet is free/);
  });

  it("is refused when a wide route covers all", () => {
    expect(() => resolveNetwork(ID, "n", ["192.168.0.0/16"])).toThrow(/no subnet is free/);
  });
});
