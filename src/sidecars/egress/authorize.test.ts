import { describe, expect, it } from "vitest";
import type { EgressConfig, Route } from "../../policy/egress.ts";
import { authorize } from "./authorize.ts";
import type { Classified } from "./context.ts";
import { HeaderBlock } from "./header-block.ts";

const auth: Route["auth"] = {
  carrier: { kind: "header", name: "X-Key" },
  slot: "EGRESS_TOKEN_0",
  placeholder: "placeholder-0",
  requirePlaceholder: false,
};
const route: Route = {
  rule: "egress.routes[0]",
  host: "api.test",
  port: undefined,
  matches: [],
  auth,
  outboundOnMatch: "block",
  scansOutbound: true,
  allowsGitFetch: false,
};
const config: Pick<EgressConfig, "policy" | "placeholders"> = {
  policy: { routes: [route], resolve: {} },
  placeholders: [{ value: "placeholder-0", host: "api.test", port: undefined }],
};
const asked = (more: Partial<Classified> = {}): Classified => ({
  kind: "classified",
  scheme: "https",
  authority: { host: "api.test", port: 443, kind: "name" },
  method: "GET",
  path: "/",
  query: "a=1",
  headers: [],
  block: HeaderBlock.of(more.headers ?? []),
  framing: { kind: "none" },
  isWebSocket: false,
  ...more,
});

describe("authorizing", () => {
  it("names the route and what becomes of credentials", () => {
    const result = authorize(asked({ headers: [["X-Key", "placeholder-0"]] }), config);
    expect(result).toMatchObject({
      kind: "authorized",
      route,
      cleanQuery: "a=1",
      inject: { slot: "EGRESS_TOKEN_0", name: "X-Key" },
    });
    expect(result.kind === "authorized" && result.dropHeaders).toContain("x-key");
  });

  it.each([
    ["host-not-allowed", asked({ authority: { host: "evil.test", port: 443, kind: "name" } })],
    [
      "plain-http-credential",
      asked({ scheme: "http", authority: { host: "api.test", port: 80, kind: "name" } }),
    ],
    ["foreign-credential", asked({ headers: [["X-Key", "mine"]] })],
    ["git-push-refused", asked({ path: "/r/git-receive-pack" })],
  ])("refuses with %s", (reason, request) => {
    expect(authorize(request, config)).toMatchObject({ kind: "deny", reason });
  });
});
