import { describe, expect, it } from "vitest";
import { parseBottleId } from "../base/ids.ts";
import { nextNetwork, resolveNetwork } from "./resolve-network.ts";

const ID = parseBottleId("worker-ab12c");

describe("a bottle's other subnets", () => {
  it("follow the first one, leave out what is taken, and come to an end", () => {
    const first = resolveNetwork(ID, "n", []);
    const taken = first.alternatives?.[0] ?? "";
    const network = resolveNetwork(ID, "n", [taken]);
    expect(network.subnet).toBe(first.subnet);
    expect(network.alternatives).not.toContain(taken);
    const seen = [network.subnet];
    for (let next = nextNetwork(network); next !== undefined; next = nextNetwork(next)) {
      expect(next.bundleAddress).toBe(next.subnet.replace("0/24", "2"));
      expect(next.gateway).toBe(next.subnet.replace("0/24", "1"));
      expect(next.name).toBe("n");
      seen.push(next.subnet);
    }
    expect(seen).toEqual([network.subnet, ...(network.alternatives ?? [])]);
    expect(new Set(seen).size).toBe(8);
  });
});
