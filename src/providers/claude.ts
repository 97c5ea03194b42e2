/**
 * Claude Code. Its own permission prompts are off and a repository's settings and hooks take effect as it likes: the
 * bottle is the boundary, not the agent. A repository's .mcp.json is ignored, so that it adds no servers.
 */
import { type GuestPath, parseGuestPath } from "../base/ids.ts";
import { claudeLogin } from "./claude-login.ts";
import type { Provider, ProviderInput, ProviderPlan, ProvisionedFile } from "./provider.ts";
import { refuseUnknownSettings, textSetting } from "./settings.ts";

/** Claude Code approves an API key by its last characters; this many. */
const KEY_TAIL_LENGTH = 20;

/** Leaves only the model's own calls; what stays goes to the same host. */
const QUIET = {
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  DISABLE_TELEMETRY: "1",
  DISABLE_ERROR_REPORTING: "1",
  DISABLE_AUTOUPDATER: "1",
} as const;

/** Anthropic's Claude Code. */
export const claude: Provider = {
  name: "claude",
  title: "Claude Code",
  program: {
    name: "claude",
    variable: "BOT_BOTTLE_CLAUDE",
    // Beside the package where npm hoists, below it where it does not (a global install).
    natives: [
      "../../claude-code-linux-{arch}/claude",
      "../node_modules/@anthropic-ai/claude-code-linux-{arch}/claude",
      "../../claude-code-linux-{arch}-musl/claude",
      "../node_modules/@anthropic-ai/claude-code-linux-{arch}-musl/claude",
    ],
    companions: [],
    npmPackage: "@anthropic-ai/claude-code",
  },
  skillsDir: { host: ".claude/skills", guest: ".claude/skills" },
  defaultTokenVariable: "CLAUDE_CODE_OAUTH_TOKEN",
  hostLogin: claudeLogin,
  runsWithoutPrompt: false,
  describe,
};

function describe(input: ProviderInput): ProviderPlan {
  refuseUnknownSettings("claude", input.settings, ["model"]);
  const base = baseArgv(input);
  return {
    env: { ...QUIET, ...credentialEnv(input) },
    hiddenEnvNames: [...Object.keys(QUIET), ...Object.keys(credentialEnv(input))],
    files: files(input),
    routes: routes(input),
    interactiveArgv: base,
    // `--` keeps a prompt that begins with a hyphen from being read as a flag.
    headlessArgv: (prompt) => [...base, "-p", "--", prompt],
    resumeArgv: [...base, "--continue"],
  };
}

function baseArgv(input: ProviderInput): string[] {
  const model = textSetting(input.settings, "model");
  return [
    "claude",
    "--dangerously-skip-permissions",
    ...(model === undefined ? [] : ["--model", model]),
    ...(input.hasPrompt ? ["--append-system-prompt-file", input.promptPath] : []),
    ...(hasMcp(input) ? ["--mcp-config", mcpPath(input)] : []),
    "--strict-mcp-config",
  ];
}

function credentialEnv({ placeholder, authKind }: ProviderInput): Record<string, string> {
  if (placeholder === undefined) return {};
  return authKind === "bearer"
    ? { CLAUDE_CODE_OAUTH_TOKEN: placeholder }
    : { ANTHROPIC_API_KEY: placeholder };
}

function routes({ placeholder, authKind }: ProviderInput): ProviderPlan["routes"] {
  if (placeholder === undefined) return [];
  const host = "api.anthropic.com";
  return authKind === "bearer"
    ? [{ host, carrier: { kind: "bearer" } }]
    : [{ host, carrier: { kind: "header", name: "x-api-key" } }];
}

function files(input: ProviderInput): ProvisionedFile[] {
  const found = [
    jsonFile(at(input, ".claude.json"), state(input)),
    jsonFile(at(input, ".claude/settings.json"), { skipDangerousModePermissionPrompt: true }),
  ];
  if (hasMcp(input)) found.push(jsonFile(mcpPath(input), mcpConfig(input)));
  return found;
}

/** State of an agent that has been set up: no onboarding, workdir trusted, the placeholder approved as a key. */
function state({ workdir, placeholder, authKind }: ProviderInput): Record<string, unknown> {
  const approved =
    placeholder === undefined || authKind === "bearer" ? [] : [placeholder.slice(-KEY_TAIL_LENGTH)];
  return {
    hasCompletedOnboarding: true,
    theme: "dark",
    projects: { [workdir]: { hasTrustDialogAccepted: true } },
    ...(approved.length === 0 ? {} : { customApiKeyResponses: { approved, rejected: [] } }),
  };
}

function hasMcp({ mcpServers }: ProviderInput): boolean {
  return mcpServers !== undefined && Object.keys(mcpServers).length > 0;
}

function mcpPath(input: ProviderInput): GuestPath {
  return at(input, ".claude/bot-bottle-mcp.json");
}

function mcpConfig({ mcpServers = {} }: ProviderInput): Record<string, unknown> {
  const entries = Object.entries(mcpServers).map(([name, url]) => [name, { type: "http", url }]);
  return { mcpServers: Object.fromEntries(entries) };
}

function at({ guestHome }: ProviderInput, path: string): GuestPath {
  return parseGuestPath(`${guestHome}/${path}`);
}

function jsonFile(path: GuestPath, value: Record<string, unknown>): ProvisionedFile {
  return { path, mode: 0o600, content: `${JSON.stringify(value, null, 2)}\n` };
}
