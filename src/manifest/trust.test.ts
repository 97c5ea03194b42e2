// A repository's agent gets the bottle it names only from the operator.
import { expect, it } from "vitest";
import { ManifestError } from "../base/errors.ts";
import { decideTrust, parseConfirmations, renderConfirmations } from "./trust.ts";
import type { AgentSpec } from "./types.ts";

const digest = "a".repeat(64);
const agent: AgentSpec = {
  name: "helper",
  bottle: "web",
  skills: [],
  gitUser: { name: undefined, email: undefined },
  prompt: "",
  origin: "repository",
  file: "/repo/.bot-bottle/agents/helper.md",
  digest,
};
const input = { agent, namedBottles: [], confirmedDigests: new Set<string>(), isHeadless: false };

it("asks once, and takes a confirmed digest or a named bottle for yes", () => {
  const asked = decideTrust(input);
  expect(asked).toMatchObject({ kind: "ask", confirmation: { digest, bottle: "web" } });
  expect(decideTrust({ ...input, confirmedDigests: new Set([digest]) }).kind).toBe("trusted");
  expect(decideTrust({ ...input, namedBottles: ["web"] }).kind).toBe("trusted");
  expect(decideTrust({ ...input, agent: { ...agent, origin: "home" } }).kind).toBe("trusted");
});

it("asks again when the file changed", () => {
  const changed = { ...agent, digest: "b".repeat(64) };
  expect(decideTrust({ ...input, agent: changed, confirmedDigests: new Set([digest]) }).kind).toBe(
    "ask",
  );
});

it("refuses without a terminal, and says what to do", () => {
  const refused = decideTrust({ ...input, isHeadless: true });
  expect(refused.kind === "refuse" && refused.error).toMatchObject({
    code: "manifest.untrusted",
    hint: "pass --bottle web, or start it once on a terminal and confirm it",
  });
});

it("keeps confirmations, one per digest", () => {
  const one = { digest, file: "/a", bottle: "web" };
  const text = renderConfirmations([one, { ...one, file: "/b" }]);
  expect(parseConfirmations(text, "/c")).toEqual([{ ...one, file: "/b" }]);
});

it.each(["", "[]", "{}", '{"version":2,"agents":[]}', '{"version":1,"agents":[{"digest":"x"}]}'])(
  "does not take a damaged list for an empty one: %j",
  (text) => {
    expect(() => parseConfirmations(text, "/home/me/.bot-bottle/confirmed.json")).toThrow(
      ManifestError,
    );
  },
);
