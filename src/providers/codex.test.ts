import { describe, expect, it } from "vitest";
import { parseGuestPath } from "../base/ids.ts";
import { parseJson } from "../base/json.ts";
import { codex, tomlString } from "./codex.ts";
import type { ProviderInput } from "./provider.ts";

function input(changes: Partial<ProviderInput> = {}): ProviderInput {
  return {
    guestHome: parseGuestPath("/home/node"),
    workdir: parseGuestPath("/home/node/workspace"),
    hasPrompt: false,
    promptPath: parseGuestPath("/home/node/.bot-bottle-prompt.txt"),
    promptText: "",
    placeholder: "placeholder-openai",
    authKind: "bearer",
    settings: {},
    label: undefined,
    caBundlePath: parseGuestPath("/etc/ssl/certs/ca-certificates.crt"),
    ...changes,
  };
}

const config = (changes: Partial<ProviderInput> = {}): string =>
  codex.describe(input(changes)).files.find((it) => it.path.endsWith("config.toml"))?.content ?? "";

describe("codex", () => {
  it.each(["bearer", "api-key"] as const)("gives its credential (%s) to one host", (authKind) => {
    expect(codex.describe(input({ authKind })).routes).toEqual([
      { host: "api.openai.com", carrier: { kind: "bearer" } },
    ]);
  });

  it("logs in with the placeholder by file, not by variable", () => {
    const plan = codex.describe(input());
    const login = plan.files.find((it) => it.path === "/home/node/.codex/auth.json");
    expect(parseJson(login?.content ?? "")).toEqual({
      auth_mode: "apikey",
      OPENAI_API_KEY: "placeholder-openai",
    });
    expect(login?.mode).toBe(0o600);
    expect(plan.env).toEqual({});
  });

  it("reaches nothing and holds nothing without a credential", () => {
    const plan = codex.describe(input({ placeholder: undefined }));
    expect(plan.routes).toEqual([]);
    expect(plan.files.map((it) => it.path)).toEqual(["/home/node/.codex/config.toml"]);
  });

  it("does not call other hosts and does not wait for ever", () => {
    for (const line of [
      "check_for_update_on_startup = false",
      "apps = false",
      "remote_plugin = false",
      "api_key_model_discovery = false",
      "daemon_auto_start = false",
      "unbounded_connection_retries = false",
      '[projects."/home/node/workspace"]\ntrust_level = "trusted"',
    ]) {
      expect(config()).toContain(line);
    }
  });

  it("takes the system prompt as one TOML string at the top level", () => {
    const promptText = 'Say "hi"\n[features]\napps = true\n';
    const first = config({ hasPrompt: true, promptText }).split("\n")[0];
    expect(first).toBe('developer_instructions = "Say \\"hi\\"\\n[features]\\napps = true\\n"');
    expect(config()).not.toContain("developer_instructions");
  });

  it("knows the bundle's MCP servers", () => {
    expect(config({ mcpServers: { supervise: "http://supervise:9100/" } })).toContain(
      '[mcp_servers."supervise"]\nurl = "http://supervise:9100/"',
    );
  });

  it("never reads a prompt as a flag", () => {
    expect(codex.describe(input()).headlessArgv("--help")).toEqual([
      "codex",
      "exec",
      "--skip-git-repo-check",
      "--dangerously-bypass-approvals-and-sandbox",
      "--",
      "--help",
    ]);
  });

  it("writes only what TOML allows in a string", () => {
    expect(tomlString("a\u007fb\u0001\ud800\\")).toBe('"a\\u007fb\\u0001\ufffd\\\\"');
  });
});
