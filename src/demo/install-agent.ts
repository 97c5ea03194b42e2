/** Brings a real agent for the demo, pinned, into a folder of ours. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { HostError, LaunchError } from "../base/errors.ts";
import type { Exec } from "../process/exec.ts";
import { findBinary } from "../process/find-binary.ts";
import type { DemoAgent } from "./world.ts";

/** npm may fetch 400 MB on a slow line. */
const INSTALL_MS = 600_000;
const PROGRAMS = {
  claude: { variable: "BOT_BOTTLE_CLAUDE", bin: "claude", title: "Claude Code" },
  codex: { variable: "BOT_BOTTLE_CODEX", bin: "codex", title: "Codex" },
} as const;

interface InstallPorts {
  readonly exec: Exec;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly say: (text: string) => void;
}

/** Installs the agent if needed; returns the variable that names its program, for planning. */
export async function installAgent(
  agent: DemoAgent,
  ports: InstallPorts,
): Promise<Readonly<Record<string, string>>> {
  if (agent === "scripted") return {};
  const { variable, bin, title } = PROGRAMS[agent];
  const given = ports.env[variable];
  if (given !== undefined && given !== "") return { [variable]: given };
  const { script, folder } = findFolders(ports.env);
  const program = join(folder, "node_modules", ".bin", bin);
  if (!existsSync(program)) await install({ script, folder, title }, ports);
  if (existsSync(program)) return { [variable]: program };
  throw new HostError("host.agent-missing", `${title} was installed, but ${program} is missing`);
}

/** In a checkout everything lies in the checkout; a package uses the cache under home. */
function findFolders(env: InstallPorts["env"]): { script: string; folder: string } {
  const here = dirname(fileURLToPath(import.meta.url));
  for (const up of ["..", "../..", "../../.."]) {
    const root = join(here, up);
    const script = join(root, "scripts", "agents", "install.sh");
    if (!existsSync(script)) continue;
    const isCheckout = existsSync(join(root, "bin", "bot-bottle"));
    const cache = env["BOT_BOTTLE_HOME"] ?? join(env["HOME"] ?? "/tmp", ".bot-bottle");
    return {
      script,
      folder: isCheckout ? join(root, ".tools", "agents") : join(cache, "cache", "agents"),
    };
  }
  throw new HostError("host.agent-missing", `the pins of the agents were not found near ${here}`);
}

async function install(
  what: { script: string; folder: string; title: string },
  { exec, env, say }: InstallPorts,
): Promise<void> {
  const npm = await findBinary("npm", env["PATH"] ?? "");
  if (npm === undefined)
    throw new HostError("host.binary-missing", "npm is not on PATH", {
      hint: "install npm, or name the agent's program",
    });
  say(`installing ${what.title}, pinned, into ${what.folder} (once; this takes a minute)`);
  const result = await exec.run(["/bin/sh", what.script, what.folder], {
    env: Object.fromEntries(
      Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ) as Record<string, string>,
    timeoutMs: INSTALL_MS,
  });
  if (result.exitCode === 0) return;
  throw new LaunchError("launch.agent", `npm could not install ${what.title}`, {
    details: { stderr: result.stderr.toString("utf8").split("\n").slice(-12) },
  });
}
