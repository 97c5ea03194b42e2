import { describe, expect, it } from "vitest";
import { describeInternal } from "./broadcast-guard.ts";

describe("what doctor says of attachment internal", () => {
  const facts = { isRoot: false, isThisMachine: true, all: 0, later: 0 };

  it.each([
    [{}, /^refused at launch: only root .* rp_filter is 0; .*sysctl -w \S+default\.rp_filter=1$/],
    [{ later: 2 }, /^refused at launch: only root .* rp_filter is 2; .*default\.rp_filter=1$/],
    [{ later: 1 }, /^works: this machine filters/],
    [{ all: 1 }, /^works: this machine filters/],
    [{ isRoot: true }, /^works: as root/],
    [{ isRoot: true, all: 2 }, /^refused at launch: .*all\.rp_filter is 2; .*all\.rp_filter=1/],
    [{ later: 1, all: 2 }, /^refused at launch: .*all\.rp_filter is 2/],
    [{ isThisMachine: false }, /^needs \S+default\.rp_filter=1 on the engine's machine/],
  ])("with %o", (changes, said) =>
    expect(describeInternal({ ...facts, ...changes })).toMatch(said),
  );
});
