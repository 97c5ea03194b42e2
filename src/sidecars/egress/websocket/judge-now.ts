/** What the policy in force says about a WebSocket that began under another one. */
import { deny } from "../../../policy/decide.ts";
import type { Route } from "../../../policy/egress.ts";
import type { Deny } from "../../../policy/verdict.ts";
import type { Authorized, StepResult } from "../context.ts";
import type { EgressState } from "../state.ts";

/** Who began it, and when. */
export interface Begun {
  readonly route: Route;
  readonly state: EgressState;
}

/** Why it ends; undefined where it would be let out now as it was then. Rules are numbered anew by a reload. */
export function judgeNow(
  then: Begun,
  authorized: StepResult<Authorized>,
  state: EgressState,
): Deny | undefined {
  if (authorized.kind === "deny") return authorized;
  const { route } = authorized;
  const isSame =
    termsOf(route) === termsOf(then.route) && valueOf({ route, state }) === valueOf(then);
  if (isSame) return undefined;
  const why = `what ${route.host} is reached by has changed; connect again`;
  return deny("policy-changed", route.rule, why);
}

/** What is done on a route with each message, and by which credential it was opened. */
const termsOf = ({ auth, limits, outboundOnMatch, scansOutbound }: Route): string =>
  JSON.stringify([outboundOnMatch, scansOutbound, limits?.requests, limits?.bytes, auth]);

const valueOf = ({ route, state }: Begun): string | undefined =>
  route.auth && state.secrets.get(route.auth.slot)?.reveal();
