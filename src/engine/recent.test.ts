import { describe, expect, it } from "vitest";
import type { EngineEndpoint } from "./contract.ts";
import { Recent } from "./recent.ts";

const HERE: EngineEndpoint = { kind: "unix", path: "/run/here.sock", source: "test" };
const THERE: EngineEndpoint = { ...HERE, path: "/run/there.sock" };

describe("answers of a moment ago", () => {
  it("are asked for once, for each endpoint", async () => {
    const recent = new Recent<number>();
    let asked = 0;
    const ask = (): Promise<number> => Promise.resolve((asked += 1));
    expect(await recent.get(HERE, ask)).toBe(1);
    expect(await recent.get({ ...HERE }, ask)).toBe(1);
    expect(await recent.get(THERE, ask)).toBe(2);
  });

  it("are never failures", async () => {
    const recent = new Recent<string>();
    const failure = new Error("no engine");
    await expect(recent.get(HERE, () => Promise.reject(failure))).rejects.toBe(failure);
    expect(await recent.get(HERE, () => Promise.resolve("there"))).toBe("there");
  });
});
