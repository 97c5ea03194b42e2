// Labels of ownership: a home keeps its name, two homes never share one, and nothing else passes for an owner.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HOME_LABEL } from "../base/labels.ts";
import { readOwner } from "./identity.ts";
import { ownershipLabels, readHomeId, readOwnerLabel } from "./ownership.ts";

describe("labels of ownership", () => {
  let root = "";
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "bb-own-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it("name the home by what is kept in its cache, and this process", () => {
    const cache = join(root, "home/cache");
    expect(readHomeId(cache)).toBeUndefined();
    const labels = ownershipLabels(cache);
    expect(labels).toEqual(ownershipLabels(cache));
    expect(labels[HOME_LABEL]).toBe(readHomeId(cache));
    expect(readOwnerLabel(labels)).toEqual(readOwner());
    expect(readdirSync(cache)).toEqual(["home-id"]);
  });

  it("tell two homes apart, and hold nothing of their paths", () => {
    const [one, other] = [ownershipLabels(join(root, "a")), ownershipLabels(join(root, "b"))];
    expect(one[HOME_LABEL]).not.toBe(other[HOME_LABEL]);
    expect(JSON.stringify(one)).not.toContain("bb-own-");
  });

  it("replace a name that cannot be read", () => {
    writeFileSync(join(root, "home-id"), "../../etc\n");
    expect(readHomeId(root)).toBeUndefined();
    expect(ownershipLabels(root)[HOME_LABEL]).toMatch(/^[0-9a-f]{32}$/);
  });

  it.each(["", "x", "1", "0 1 boot ns", "-5 1 boot ns", "1e3 1 boot ns", "1 2 boot ns more"])(
    "take %j for nobody",
    (text) => expect(readOwnerLabel({ "bot-bottle.owner": text })).toBeUndefined(),
  );
});
