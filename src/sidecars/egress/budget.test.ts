// Budgets cut off where they are spent, whoever asks and whatever was reloaded.
import { describe, expect, it } from "vitest";
import type { Route } from "../../policy/egress.ts";
import { createBudgets, MAX_WILDCARD_NAMES } from "./budget.ts";

const route = (more: Partial<Route> = {}): Route => ({
  rule: "egress.routes[0]",
  host: "api.example.com",
  port: undefined,
  matches: [],
  auth: undefined,
  outboundOnMatch: "block",
  scansOutbound: true,
  allowsGitFetch: false,
  ...more,
});
const HOST = "api.example.com";

describe("budgets", () => {
  it("count nothing where there is no limit", () => {
    const budgets = createBudgets();
    for (let i = 0; i < 10; i += 1)
      expect(budgets.take(route(), HOST, Number.MAX_SAFE_INTEGER)).toBeUndefined();
  });

  it("end with the last request, also under a new number of the rule", () => {
    const budgets = createBudgets();
    const limits = { requests: 2, bytes: undefined };
    expect(budgets.take(route({ limits }), HOST, 0)).toBeUndefined();
    expect(budgets.take(route({ limits, rule: "egress.routes[7]" }), HOST, 0)).toBeUndefined();
    expect(budgets.take(route({ limits }), HOST, 0)).toMatchObject({ reason: "budget-spent" });
    expect(budgets.take(route({ limits, host: "b.example.com" }), HOST, 0)).toBeUndefined();
  });

  it("refuse a request that would go beyond, and count what passes", () => {
    const budgets = createBudgets();
    const limited = route({ limits: { requests: undefined, bytes: 100 } });
    expect(budgets.take(limited, HOST, 101)?.reason).toBe("budget-spent");
    expect(budgets.take(limited, HOST, 60)).toBeUndefined();
    expect(budgets.spend(limited, 30)).toBeUndefined();
    expect(budgets.spend(limited, 11)?.reason).toBe("budget-spent");
    expect(budgets.spend(limited, 10)).toBeUndefined();
    expect(budgets.take(limited, HOST, 1)?.explanation).toContain("100 bytes");
  });

  it("have once more what was taken for a request that was never sent", () => {
    const budgets = createBudgets();
    const limited = route({ limits: { requests: 1, bytes: 100 } });
    expect(budgets.take(limited, HOST, 100)).toBeUndefined();
    budgets.giveBack(limited, 100);
    expect(budgets.take(limited, HOST, 100)).toBeUndefined();
    expect(budgets.take(limited, HOST, 0)?.reason).toBe("budget-spent");
  });

  it("bound the names of a wildcard, not the requests to a known one", () => {
    const budgets = createBudgets();
    const wild = route({ host: "*.example.com" });
    for (let i = 0; i < MAX_WILDCARD_NAMES; i += 1)
      expect(budgets.take(wild, `n${i}.example.com`, 0)).toBeUndefined();
    expect(budgets.take(wild, "one-more.example.com", 0)?.reason).toBe("budget-spent");
    expect(budgets.take(wild, "n0.example.com", 0)).toBeUndefined();
  });
});
