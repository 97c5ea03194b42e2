import { describe, expect, it } from "vitest";
import { parseGuestPath } from "../base/ids.ts";
import { claude } from "./claude.ts";
import type { ProviderInput } from "./provider.ts";

const PLACEHOLDER = "bot-bottle-placeholder-0123456789abcdef";

function input(changes: Partial<ProviderInput> = {}): ProviderInput {
  return {
    guestHome: parseGuestPath("/home/node"),
    workdir: parseGuestPath("/home/node/workspace"),
    hasPrompt: false,
    promptPath: parseGuestPath("/home/node/.bot-bottle-prompt.txt"),
    promptText: "",
    placeholder: PLACEHOLDER,
    authKind: "bearer",
    settings: {},
    label: undefined,
    caBundlePath: parseGuestPath("/etc/ssl/certs/ca-certificates.crt"),
    ...changes,
  };
}

const fileOf = (changes: Partial<ProviderInput>, path: string) =>
  JSON.parse(
    claude.describe(input(changes)).files.find((it) => it.path === path)?.content ?? "null",
  );

describe("claude", () => {
  it("sends an OAuth token as a bearer to its API alone", () => {
    const plan = claude.describe(input());
    expect(plan.env["CLAUDE_CODE_OAUTH_TOKEN"]).toBe(PLACEHOLDER);
    expect(plan.env["ANTHROPIC_API_KEY"]).toBeUndefined();
    expect(plan.routes).toEqual([{ host: "api.anthropic.com", carrier: { kind: "bearer" } }]);
  });

  it("sends an API key in its own header and approves it beforehand", () => {
    const plan = claude.describe(input({ authKind: "api-key" }));
    expect(plan.env["ANTHROPIC_API_KEY"]).toBe(PLACEHOLDER);
    expect(plan.env["CLAUDE_CODE_OAUTH_TOKEN"]).toBeUndefined();
    expect(plan.routes).toEqual([
      { host: "api.anthropic.com", carrier: { kind: "header", name: "x-api-key" } },
    ]);
    const state = fileOf({ authKind: "api-key" }, "/home/node/.claude.json");
    expect(state.customApiKeyResponses.approved).toEqual([PLACEHOLDER.slice(-20)]);
  });

  it("reaches nothing and holds nothing without a credential", () => {
    const plan = claude.describe(input({ placeholder: undefined, authKind: "api-key" }));
    expect(plan.routes).toEqual([]);
    expect(Object.keys(plan.env).filter((it) => /TOKEN|KEY/.test(it))).toEqual([]);
    expect(
      fileOf({ placeholder: undefined, authKind: "api-key" }, "/home/node/.claude.json"),
    ).not.toHaveProperty("customApiKeyResponses");
  });

  it("asks no question at its first start", () => {
    const state = fileOf({}, "/home/node/.claude.json");
    expect(state.hasCompletedOnboarding).toBe(true);
    expect(state.projects["/home/node/workspace"].hasTrustDialogAccepted).toBe(true);
    expect(fileOf({}, "/home/node/.claude/settings.json")).toEqual({
      skipDangerousModePermissionPrompt: true,
    });
  });

  it("ignores the MCP servers of a repository", () => {
    const plan = claude.describe(input());
    for (const argv of [plan.interactiveArgv, plan.headlessArgv("x") ?? [], plan.resumeArgv]) {
      expect(argv).toContain("--strict-mcp-config");
      expect(argv).not.toContain("--mcp-config");
    }
  });

  it("knows the bundle's MCP servers by a file of ours", () => {
    const mcpServers = { supervise: "http://supervise:9100/" };
    const plan = claude.describe(input({ mcpServers }));
    const at = plan.interactiveArgv.indexOf("--mcp-config");
    const path = plan.interactiveArgv[at + 1] ?? "";
    expect(fileOf({ mcpServers }, path)).toEqual({
      mcpServers: { supervise: { type: "http", url: "http://supervise:9100/" } },
    });
    expect(plan.interactiveArgv[at + 2]).toBe("--strict-mcp-config");
  });

  it("names the system prompt's file only when there is one", () => {
    expect(claude.describe(input()).interactiveArgv).not.toContain("--append-system-prompt-file");
    expect(claude.describe(input({ hasPrompt: true })).interactiveArgv.join(" ")).toContain(
      "--append-system-prompt-file /home/node/.bot-bottle-prompt.txt",
    );
  });

  it("never reads a prompt as a flag", () => {
    const argv = claude.describe(input()).headlessArgv("--version") ?? [];
    expect(argv.slice(-3)).toEqual(["-p", "--", "--version"]);
  });

  it.each([
    [{ modle: "x" }, '"modle" is not a setting'],
    [{ model: 5 }, "model is not a name"],
    [{ model: "--settings=x" }, "model is not a name"],
  ])("refuses settings %j", (settings, message) => {
    expect(() => claude.describe(input({ settings }))).toThrow(message);
  });

  it("passes the model on", () => {
    const plan = claude.describe(input({ settings: { model: "sonnet" } }));
    expect(plan.interactiveArgv.join(" ")).toContain("--model sonnet");
  });
});
