/**
 * Whether a repository's agent may use the bottle that it names. A clone must not choose among the operator's bottles: the
 * operator names the bottle, or confirms the file once by its hash.
 */
import * as z from "zod/mini";
import { ManifestError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { once } from "../base/once.ts";
import type { AgentSpec } from "./types.ts";

/** What decides. */
export interface TrustInput {
  readonly agent: AgentSpec;
  /** Bottles that the operator named with `--bottle`. */
  readonly namedBottles: readonly string[];
  /** Digests of files that the operator has confirmed. */
  readonly confirmedDigests: ReadonlySet<string>;
  readonly isHeadless: boolean;
}

/** The outcome. */
export type Trust =
  | { readonly kind: "trusted" }
  /** The operator is asked once; yes is kept with {@link Confirmation}. */
  | { readonly kind: "ask"; readonly question: string; readonly confirmation: Confirmation }
  | { readonly kind: "refuse"; readonly error: ManifestError };

/** One confirmed file. */
export interface Confirmation {
  /** SHA-256 of the file's bytes. */
  readonly digest: string;
  /** Where it lay and what it asked for, for people; only the digest counts. */
  readonly file: string;
  readonly bottle: string;
}

/** Decides whether the bottle named by a repository's agent counts. */
export function decideTrust(input: TrustInput): Trust {
  const { agent, namedBottles, confirmedDigests, isHeadless } = input;
  const { bottle, digest, file, name } = agent;
  if (agent.origin === "home" || namedBottles.length > 0) return { kind: "trusted" };
  if (bottle === undefined || confirmedDigests.has(digest)) return { kind: "trusted" };
  if (!isHeadless) {
    const question = `the repository's agent ${name} (${file}) asks for your bottle ${bottle}; let it`;
    return { kind: "ask", question, confirmation: { digest, file, bottle } };
  }
  const message = `agent "${name}" of the repository asks for the bottle "${bottle}": it is not confirmed; --bottle or a confirmed file is expected`;
  const hint = `pass --bottle ${bottle}, or start it once on a terminal and confirm it`;
  return {
    kind: "refuse",
    error: new ManifestError("manifest.untrusted", message, { hint, details: { file, digest } }),
  };
}

const confirmedSchema = once(() =>
  z.strictObject({
    version: z.literal(1),
    agents: z.array(
      z.strictObject({
        digest: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
        file: z.string(),
        bottle: z.string(),
      }),
    ),
  }),
);

/** Reads the text of `confirmed.json`. Throws {@link ManifestError} when it is damaged: it is not taken for empty. */
export function parseConfirmations(text: string, file: string): readonly Confirmation[] {
  const damaged = (cause: unknown): ManifestError =>
    new ManifestError("manifest.unreadable", `the list of confirmed agents is damaged: ${file}`, {
      hint: `remove ${file} and confirm the agents again`,
      cause,
    });
  let data: unknown;
  try {
    data = parseJson(text);
  } catch (error) {
    throw damaged(error);
  }
  const result = confirmedSchema().safeParse(data);
  if (!result.success) throw damaged(result.error);
  return result.data.agents;
}

/** The text of `confirmed.json`, one entry per digest. */
export function renderConfirmations(confirmations: readonly Confirmation[]): string {
  const byDigest = new Map(confirmations.map((it) => [it.digest, it]));
  return `${JSON.stringify({ version: 1, agents: [...byDigest.values()] }, null, 2)}\n`;
}
