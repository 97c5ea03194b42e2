/**
 * Budgets of routes: requests and bytes that leave, counted over the life of the daemon, whatever is reloaded. Also bounds
 * how many names a wildcard may stand for, because each name that is looked up carries text of the guest's choice outside.
 */
import { deny } from "../../policy/decide.ts";
import type { Route } from "../../policy/egress.ts";
import { isWildcard } from "../../policy/host-pattern.ts";
import type { Deny } from "../../policy/verdict.ts";

/** Most names that one wildcard may stand for in the life of a bottle. */
export const MAX_WILDCARD_NAMES = 256;

/** Counts what routes are used for. */
export interface Budgets {
  /** Takes one request and the bytes that are known of it; a refusal where that is too much, and then nothing is counted. */
  take(route: Route, host: string, bytes: number): Deny | undefined;
  /** Gives back what was taken for a request of which nothing was sent; the name stays counted, it may have been looked up. */
  giveBack(route: Route, bytes: number): void;
  /** Takes bytes of a body on its way; a refusal where they are too many. */
  spend(route: Route, bytes: number): Deny | undefined;
}

interface Spent {
  requests: number;
  bytes: number;
  readonly names: Set<string>;
}

/** Makes the counters of one bottle. */
export function createBudgets(): Budgets {
  const all = new Map<string, Spent>();
  // Rules are numbered anew by a reload; what a route is for stays.
  const spentOf = ({ host, port }: Route): Spent => {
    const key = `${host}:${port ?? ""}`;
    const spent = all.get(key) ?? { requests: 0, bytes: 0, names: new Set() };
    all.set(key, spent);
    return spent;
  };
  return {
    take: (route, host, bytes) => {
      if (route.limits === undefined && !isWildcard(route.host)) return undefined;
      const spent = spentOf(route);
      const refusal = judge(route, spent, { host, bytes });
      if (refusal !== undefined) return refusal;
      spent.requests += 1;
      spent.bytes += bytes;
      if (isWildcard(route.host)) spent.names.add(host);
      return undefined;
    },
    giveBack: (route, bytes) => {
      if (route.limits === undefined && !isWildcard(route.host)) return;
      const spent = spentOf(route);
      spent.requests -= 1;
      spent.bytes -= bytes;
    },
    spend: (route, bytes) => {
      if (route.limits?.bytes === undefined) return undefined;
      const spent = spentOf(route);
      if (spent.bytes + bytes > route.limits.bytes) return overBytes(route);
      spent.bytes += bytes;
      return undefined;
    },
  };
}

function judge(
  route: Route,
  spent: Spent,
  { host, bytes }: { readonly host: string; readonly bytes: number },
): Deny | undefined {
  const { requests, bytes: most } = route.limits ?? {};
  if (requests !== undefined && spent.requests >= requests) {
    return overspent(route, `the ${requests} requests to ${route.host} are used up`);
  }
  if (most !== undefined && spent.bytes + bytes > most) return overBytes(route);
  const isNew = isWildcard(route.host) && !spent.names.has(host);
  if (!isNew || spent.names.size < MAX_WILDCARD_NAMES) return undefined;
  return overspent(route, `${route.host} stood for ${MAX_WILDCARD_NAMES} names already`);
}

function overBytes(route: Route): Deny {
  const most = route.limits?.bytes ?? 0;
  return overspent(route, `the ${most} bytes that may be sent to ${route.host} do not suffice`);
}

function overspent(route: Route, why: string): Deny {
  return deny(
    "budget-spent",
    route.rule,
    `${why}; ask the operator for more under limits of ${route.rule}`,
  );
}
