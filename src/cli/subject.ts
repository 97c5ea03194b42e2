/** What a name on the command line means: a bottle or an agent. */
import { ManifestError, UsageError } from "../base/errors.ts";
import { listBottles, listManifest } from "../index.ts";
import type { CliEnv } from "./env.ts";
import { nearest } from "./nearest.ts";
import { matchSlug } from "./slugs.ts";

/** A bottle or an agent, by its whole name. */
export interface Subject {
  readonly kind: "agent" | "bottle";
  readonly name: string;
}

/** Exact names first, a bottle's before an agent's; then a beginning of a bottle's name. Throws ManifestError or UsageError. */
export async function resolveSubject(text: string, env: CliEnv): Promise<Subject> {
  const slugs = (await listBottles(env.home)).map((bottle) => bottle.slug);
  if (slugs.includes(text)) return { kind: "bottle", name: text };
  const { agents } = await listManifest(env.home, env.cwd, env.userHome);
  const names = agents.map((agent) => agent.name);
  if (names.includes(text)) return { kind: "agent", name: text };
  try {
    return { kind: "bottle", name: matchSlug(text, slugs) };
  } catch (error) {
    if (!(error instanceof UsageError) || error.code === "usage.ambiguous-bottle") throw error;
    const close = nearest(text, [...names, ...slugs]);
    const advice = close === undefined ? "" : `; did you mean ${close}`;
    throw new ManifestError(
      "manifest.unknown-agent",
      `no agent and no bottle is called "${text}"${advice}`,
      {
        hint: names.length === 0 ? "bot-bottle init claude --yes" : "run bot-bottle list",
        cause: error,
      },
    );
  }
}
