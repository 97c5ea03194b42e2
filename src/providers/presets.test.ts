import { describe, expect, it } from "vitest";
import { parseHostPath } from "../base/ids.ts";
import { parseAgent } from "../manifest/parse-agent.ts";
import { parseBottle } from "../manifest/parse-bottle.ts";
import { commandPreset, PRESET_NAMES, presetNamed } from "./presets.ts";
import { PROVIDER_NAMES, providerNamed } from "./registry.ts";

describe("presets", () => {
  it.each(PRESET_NAMES)("%s is a valid bottle and agent", (name) => {
    const preset = presetNamed(name);
    const bottle = parseBottle(
      { name, file: `bottles/${name}.md`, text: preset?.bottle ?? "" },
      parseHostPath("/home/someone"),
    );
    expect(bottle.issues).toEqual([]);
    expect(bottle.layer).toBeDefined();
    const agent = parseAgent(
      { name, file: `agents/${name}.md`, text: preset?.agent ?? "" },
      { origin: "home", digest: "" },
    );
    expect(agent.issues).toEqual([]);
    expect(agent.agent?.bottle).toBe(preset?.bottleName);
    expect(agent.agent?.prompt).not.toBe("");
  });

  it("takes the operator's names, and says what kind of credential it is", () => {
    const preset = presetNamed("claude", { name: "mine", tokenVariable: "ANTHROPIC_API_KEY" });
    expect(preset).toMatchObject({ bottleName: "mine", agentName: "mine" });
    expect(preset?.agent).toContain("bottle: mine\n");
    expect(preset?.bottle).toContain(
      "auth_token: ANTHROPIC_API_KEY\n  auth_kind: api-key\negress:",
    );
    expect(presetNamed("claude")?.bottle).not.toContain("auth_kind");
  });

  it("writes a program's argv so that it reads back the same", () => {
    const argv = ["sh", "-c", 'echo "a: b" # no comment\n'];
    const { bottle, agent } = commandPreset(argv, { name: "job" });
    const parsed = parseBottle(
      { name: "job", file: "bottles/job.md", text: bottle },
      parseHostPath("/home/someone"),
    );
    expect(parsed.issues).toEqual([]);
    expect(JSON.stringify(parsed.layer)).toContain(JSON.stringify(argv));
    const source = { name: "job", file: "agents/job.md", text: agent };
    expect(parseAgent(source, { origin: "home", digest: "" }).issues).toEqual([]);
  });

  it("has none for what is no coding agent", () => {
    expect(presetNamed("command")).toBeUndefined();
    expect(presetNamed("nobody")).toBeUndefined();
  });
});

describe("registry", () => {
  it("finds each provider by its name and nothing else", () => {
    expect(PROVIDER_NAMES).toEqual(["claude", "codex", "command"]);
    for (const name of PROVIDER_NAMES) expect(providerNamed(name)?.name).toBe(name);
    expect(providerNamed("toString")).toBeUndefined();
  });
});
