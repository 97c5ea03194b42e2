/** Answers of egress itself, at `_egress.local`: the guest reads what it may do. Nothing upstream is touched. */
import { deny } from "../../policy/decide.ts";
import type { EgressPolicy } from "../../policy/egress.ts";
import { ALLOWLIST_PATH, describePolicy, INTROSPECTION_RULE } from "../../policy/introspect.ts";
import type { Deny } from "../../policy/verdict.ts";
import type { LocalAnswer } from "./refusal.ts";

/** The answer to one request to egress itself, or why there is none. */
export function answerIntrospection(
  asked: { readonly method: string; readonly path: string },
  policy: EgressPolicy,
): LocalAnswer | Deny {
  const isRead = asked.method === "GET" || asked.method === "HEAD";
  if (!isRead || asked.path !== ALLOWLIST_PATH) {
    const why = `egress itself answers GET ${ALLOWLIST_PATH} and nothing else; ask for that`;
    return deny("no-match", INTROSPECTION_RULE, why);
  }
  const body = `${JSON.stringify(describePolicy(policy), undefined, 2)}\n`;
  return { status: 200, contentType: "application/json", body };
}
