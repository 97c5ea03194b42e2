/** Parses one agent file: a few choices and the system prompt. */
import type { Issue } from "../base/errors.ts";
import { compareAgent } from "./compare.ts";
import { readFront } from "./front.ts";
import { MAX_AGENT_BLOCK } from "./frontmatter.ts";
import { cleanAgent } from "./removed-keys.ts";
import { agentSchema } from "./schema-agent.ts";
import type { SourceFile } from "./source.ts";
import type { AgentSpec, Provenance } from "./types.ts";

/** One agent file as read. */
export interface ParsedAgent {
  /** Undefined when there are issues. */
  readonly agent: AgentSpec | undefined;
  /** Where `bottle:` stands, or the file's first line. */
  readonly bottleFrom: Provenance;
  readonly issues: readonly Issue[];
}

/** Parses an agent file's text. Never throws. */
export function parseAgent(
  source: SourceFile,
  facts: { readonly origin: AgentSpec["origin"]; readonly digest: string },
): ParsedAgent {
  const front = readFront(source, {
    maxLength: MAX_AGENT_BLOCK,
    clean: cleanAgent,
    compare: compareAgent,
    schema: agentSchema,
  });
  const { data } = front;
  const bottleFrom = front.place(["bottle"]);
  if (data === undefined) return { agent: undefined, bottleFrom, issues: front.issues };
  const user = data["git-gate"]?.user;
  const agent: AgentSpec = {
    name: source.name,
    bottle: data.bottle,
    skills: data.skills ?? [],
    gitUser: { name: user?.name || undefined, email: user?.email || undefined },
    prompt: front.body.trim(),
    origin: facts.origin,
    file: source.file,
    digest: facts.digest,
  };
  return { agent, bottleFrom, issues: [] };
}
