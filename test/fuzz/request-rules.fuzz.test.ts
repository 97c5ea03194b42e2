// Rules over requests of any form: both readings of a path are normal, explanations agree with decisions, and a credential in a JSON
// body changes nothing but its field.
import fc from "fast-check";
import { expect, it } from "vitest";
import type { EgressPolicy, Route } from "../../src/policy/egress.ts";
import { explainRequest } from "../../src/policy/explain-request.ts";
import {
  judgeJsonCredential,
  pointerNames,
  setJsonCredential,
} from "../../src/policy/json-credential.ts";
import { normalisePath, readingsOf } from "../../src/policy/path.ts";

const SEED = 20_260_719;
const run = (numRuns: number): { seed: number; numRuns: number } => ({ seed: SEED, numRuns });
const pieces = (...texts: string[]): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...texts), { maxLength: 10 }).map((parts) => parts.join(""));
const pathText = pieces(
  "/",
  "a",
  "b",
  ".",
  "..",
  "%2f",
  "%2F",
  "%2e",
  "%25",
  ";",
  "%5c",
  "@",
  "%20",
).map((it) => `/${it}`);

const route = (more: Partial<Route>): Route => ({
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

it("every reading of a normalised path is itself normal", () => {
  fc.assert(
    fc.property(pathText, (raw) => {
      const normal = normalisePath(raw);
      if (!normal.ok) return;
      for (const reading of readingsOf(normal.path)) {
        expect(normalisePath(reading)).toEqual({ ok: true, path: reading, query: "" });
        expect(reading.split("/").slice(1, -1)).not.toContain("");
        expect(reading.split("/")).not.toContain("..");
      }
    }),
    run(10_000),
  );
});

it("a request below a prefix is below it in each reading", () => {
  const policy: EgressPolicy = {
    resolve: {},
    routes: [
      route({ matches: [{ paths: [{ kind: "prefix", value: "/a" }], methods: [], headers: [] }] }),
    ],
  };
  let allowed = 0;
  fc.assert(
    fc.property(pathText, (raw) => {
      const url = `https://api.example.com${raw}`;
      const { verdict, considered } = explainRequest(policy, { method: "GET", url, headers: [] });
      const normal = normalisePath(raw);
      const isBelow = (path: string): boolean => path === "/a" || path.startsWith("/a/");
      const expected = normal.ok && readingsOf(normal.path).every(isBelow);
      expect(verdict.kind === "allow").toBe(expected);
      if (normal.ok) expect(considered[0]?.fits).toBe(expected);
      if (expected) allowed += 1;
    }),
    run(10_000),
  );
  expect(allowed).toBeGreaterThan(50);
});

it("a credential in a JSON body takes its field and leaves all else", () => {
  const key = fc.constantFrom(
    "key",
    "auth",
    "a",
    "Key",
    "__proto__",
    "constructor",
    "0",
    "a/b",
    "~",
  );
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.string(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.bigInt().map((it) => `#${it}#`),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.array(fc.tuple(key, tie("value")), { maxLength: 3 }).map((it) => Object.fromEntries(it)),
    ),
  })).value;
  const body = fc
    .array(fc.tuple(key, value), { maxLength: 4 })
    .map((entries) => JSON.stringify(Object.fromEntries(entries)).replace(/"#(-?\d+)#"/g, "$1"));
  const pointer = fc
    .array(fc.constantFrom("key", "auth", "a~1b", "~0", "__proto__"), {
      minLength: 1,
      maxLength: 3,
    })
    .map((names) => `/${names.join("/")}`);
  let set = 0;
  fc.assert(
    fc.property(body, pointer, (text, at) => {
      const auth = {
        carrier: { kind: "json", pointer: at },
        slot: "S",
        placeholder: "the-placeholder",
        requirePlaceholder: false,
      } as const;
      const bytes = Buffer.from(text);
      const headers = [["content-type", "application/json"]] as const;
      if (judgeJsonCredential(route({ auth }), { headers, body: bytes }) !== undefined) return;
      const before = text.match(/-?\d{17,}/g) ?? [];
      const result = setJsonCredential(bytes, at, "real-value")?.toString() ?? "";
      expect(result.match(/-?\d{17,}/g) ?? []).toEqual(before);
      let node: unknown = JSON.parse(result);
      for (const name of pointerNames(at))
        node = Object.getOwnPropertyDescriptor(node, name)?.value;
      expect(node).toBe("real-value");
      expect(result.split("real-value")).toHaveLength(2);
      expect(Object.prototype).not.toHaveProperty("key");
      set += 1;
    }),
    run(6000),
  );
  expect(set).toBeGreaterThan(500);
});
