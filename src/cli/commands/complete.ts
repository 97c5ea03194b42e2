/** `__complete`: the names that a shell's completion asks for. Reads directories only, because a key press waits for it. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { systemCode } from "../../base/errors.ts";
import type { Command, CommandIo } from "../command.ts";

const KINDS = ["agent", "bottle", "subject", "bottle-file", "audit"] as const;

/** The hidden command `__complete`. */
export const completeCommand: Command = {
  name: "__complete",
  summary: "names for completion",
  args: [{ name: "kind", summary: "what to name", choices: KINDS }],
  flags: [],
  examples: [],
  run: async ({ args }, io) => {
    const names = await namesOf(args[0] ?? "", io);
    if (names.length > 0) io.output.print([...new Set(names)].sort().join("\n"));
    return 0;
  },
};

async function namesOf(kind: string, { env }: CommandIo): Promise<readonly string[]> {
  if (kind === "bottle") return listNames(env.home.state, "");
  if (kind === "bottle-file") return listNames(env.home.bottles, ".md");
  if (kind === "audit") return listNames(env.home.audit, ".jsonl");
  return [
    ...(kind === "subject" ? await listNames(env.home.state, "") : []),
    ...(await listNames(env.home.agents, ".md")),
    ...(await listNames(join(env.cwd, ".bot-bottle/agents"), ".md")),
  ];
}

/** Plain names only: what a shell would have to quote is left out. */
async function listNames(directory: string, suffix: string): Promise<readonly string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => name.endsWith(suffix))
      .map((name) => name.slice(0, name.length - suffix.length))
      .filter((name) => /^[a-z0-9][a-z0-9-]*$/.test(name));
  } catch (error) {
    if (systemCode(error) !== undefined) return [];
    throw error;
  }
}
