/**
 * OpenAI's Codex. An API key belongs to api.openai.com alone: by default Codex also sends it to chatgpt.com, so what would
 * go there is switched off and no route leads there. A ChatGPT login belongs to chatgpt.com alone.
 */
import { parseGuestPath } from "../base/ids.ts";
import { codexLogin, codexStandIn } from "./codex-login.ts";
import type { Provider, ProviderInput, ProviderPlan, ProvisionedFile } from "./provider.ts";
import { refuseUnknownSettings, textSetting } from "./settings.ts";

/** Its own sandbox and approvals are off: the bottle is the boundary. */
const BYPASS = "--dangerously-bypass-approvals-and-sandbox";

/** Platform package's layout, from the directory that holds `codex-linux-…`. */
const NATIVE = "codex-linux-{arch}/vendor/{machine}-unknown-linux-musl/bin/codex";

/** OpenAI's Codex CLI. */
export const codex: Provider = {
  name: "codex",
  title: "Codex",
  program: {
    name: "codex",
    variable: "BOT_BOTTLE_CODEX",
    natives: [
      `../../${NATIVE}`,
      `../node_modules/@openai/${NATIVE}`,
      "../vendor/{machine}-unknown-linux-musl/bin/codex",
    ],
    // The shell tool of current models lives in the first of them.
    companions: ["codex-code-mode-host", "../codex-path/rg"],
    npmPackage: "@openai/codex",
  },
  skillsDir: { host: ".claude/skills", guest: ".codex/skills" },
  defaultTokenVariable: "OPENAI_API_KEY",
  hostLogin: codexLogin,
  runsWithoutPrompt: false,
  describe,
};

function describe(input: ProviderInput): ProviderPlan {
  refuseUnknownSettings("codex", input.settings, ["model"]);
  const model = textSetting(input.settings, "model");
  const flags = [...(model === undefined ? [] : ["--model", model]), BYPASS];
  return {
    env: {},
    hiddenEnvNames: [],
    files: files(input),
    routes: routes(input),
    interactiveArgv: ["codex", ...flags],
    // `--` keeps a prompt that begins with a hyphen from being read as a flag.
    headlessArgv: (prompt) => ["codex", "exec", "--skip-git-repo-check", ...flags, "--", prompt],
    resumeArgv: ["codex", "resume", "--last", ...flags],
  };
}

/** The one host that each kind of credential is for. */
function routes({ placeholder, hostLogin }: ProviderInput): ProviderPlan["routes"] {
  if (placeholder === undefined) return [];
  const host = hostLogin === undefined ? "api.openai.com" : "chatgpt.com";
  return [{ host, carrier: { kind: "bearer" } }];
}

function files(input: ProviderInput): ProvisionedFile[] {
  const found = [file(input, ".codex/config.toml", configText(input))];
  if (input.placeholder !== undefined) {
    const login =
      input.hostLogin === undefined
        ? { auth_mode: "apikey", OPENAI_API_KEY: input.placeholder }
        : codexStandIn(input.placeholder, input.hostLogin);
    found.push(file(input, ".codex/auth.json", `${JSON.stringify(login)}\n`));
  }
  return found;
}

function configText({ workdir, promptText, mcpServers = {} }: ProviderInput): string {
  const servers = Object.entries(mcpServers).map(
    ([name, url]) => `\n[mcp_servers.${tomlString(name)}]\nurl = ${tomlString(url)}\n`,
  );
  return `${promptText === "" ? "" : `developer_instructions = ${tomlString(promptText)}\n`}\
check_for_update_on_startup = false

[analytics]
enabled = false

[features]
apps = false
plugins = false
remote_plugin = false
tool_suggest = false
api_key_model_discovery = false
in_app_updates = false
# It would copy the whole program into the home and stay behind.
daemon_auto_start = false
# What leaves is scanned; plain text needs no guessing.
enable_request_compression = false
# Otherwise a refused connection makes it wait for ever.
unbounded_connection_retries = false

[projects.${tomlString(workdir)}]
trust_level = "trusted"
${servers.join("")}`;
}

/** A TOML basic string: JSON's escapes are a subset of TOML's, which also forbids a raw DEL and lone surrogates. */
export function tomlString(text: string): string {
  return JSON.stringify(text.toWellFormed()).replaceAll("\u007f", "\\u007f");
}

function file({ guestHome }: ProviderInput, path: string, content: string): ProvisionedFile {
  return { path: parseGuestPath(`${guestHome}/${path}`), mode: 0o600, content };
}
