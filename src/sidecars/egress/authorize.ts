/** Second step: asks policy whether the request is allowed, by which route, and what its credentials are. Pure. */
import { invariant } from "../../base/assert.ts";
import { planCredentials } from "../../policy/credentials.ts";
import { decideRequest } from "../../policy/decide.ts";
import type { EgressConfig } from "../../policy/egress.ts";
import type { Authorized, Classified, StepResult } from "./context.ts";

/** Authorizes one request. */
export function authorize(
  asked: Classified,
  config: Pick<EgressConfig, "policy" | "placeholders">,
): StepResult<Authorized> {
  const { verdict, route } = decideRequest(config.policy, asked);
  if (verdict.kind === "deny") return verdict;
  invariant(route !== undefined, "what is allowed is allowed by a route");
  const plan = planCredentials(route, asked.headers, asked.query, config.placeholders);
  if (!plan.ok) return plan.verdict;
  const { dropHeaders, query: cleanQuery, inject } = plan;
  return { ...asked, kind: "authorized", route, dropHeaders, cleanQuery, inject };
}
