import { describe, expect, it } from "vitest";
import { parseFeatures } from "./layout.ts";
import { explainFailure, explainSettings } from "./probe.ts";

const FREE = { unprivilegedClone: "1", maxUserNamespaces: "100", apparmorRestricts: undefined };

describe("explainSettings", () => {
  it.each([
    [{ ...FREE, maxUserNamespaces: "0" }, "user.max_user_namespaces"],
    [{ ...FREE, unprivilegedClone: "0" }, "kernel.unprivileged_userns_clone"],
    [{ ...FREE, apparmorRestricts: "1" }, "kernel.apparmor_restrict_unprivileged_userns"],
  ])("names the setting and the remedy: %j", (settings, name) => {
    const refusal = explainSettings(settings);
    expect(refusal?.reason).toContain(name);
    expect(refusal?.hint).toContain(name);
  });

  it("blames nothing on a machine that allows them", () => {
    expect(explainSettings(FREE)).toBeUndefined();
  });
});

describe("explainFailure", () => {
  it("falls back to bubblewrap's own words", () => {
    const { reason } = explainFailure(
      "bwrap: Can't mount proc on /newroot/proc: Operation not permitted\n",
      FREE,
    );
    expect(reason).toContain("Can't mount proc");
  });
});

describe("parseFeatures", () => {
  const help = (...options: string[]): string =>
    ["usage: bwrap", ...options.map((option) => `    ${option} X    text`)].join("\n");
  const all = [
    "--args",
    "--seccomp",
    "--info-fd",
    "--perms",
    "--size",
    "--die-with-parent",
    "--clearenv",
  ];

  it("sees what is there and what is missing", () => {
    expect(parseFeatures(help(...all, "--disable-userns"))).toEqual({
      canDisableUserns: true,
      missing: [],
    });
    expect(parseFeatures(help(...all.filter((name) => name !== "--size")))).toEqual({
      canDisableUserns: false,
      missing: ["--size"],
    });
  });
});
