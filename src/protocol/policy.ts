/** The policy of egress on its way to the bundle and in a bottle's state: one schema for both. Holds no secret value. */

import { renameSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { ProtocolError, systemCode } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import type { EgressPolicy } from "../policy/egress.ts";
import { normalisePath } from "../policy/path.ts";
import { compilePattern } from "../policy/pattern/compile.ts";
import { refuseHeaderName, refuseMethod, refuseQueryName } from "../policy/request-names.ts";
import { canonicalAddress, canonicalName } from "../policy/resolution.ts";

const text = z.string().check(z.minLength(1), z.maxLength(4096));
/** A port, where one is given. */
export const optionalPort: z.ZodMiniOptional<z.ZodMiniNumberFormat> = z.optional(
  z.int().check(z.gte(1), z.lte(65_535)),
);

/** Text that `isFine` passes; the message says what is expected. */
const textThat = (isFine: (text: string) => boolean, expected: string): typeof text =>
  text.check(z.refine(isFine, expected));

const headerName = textThat(
  (it) => refuseHeaderName(it) === undefined,
  "a header's name that frames no message is expected",
);
const queryName = textThat(
  (it) => refuseQueryName(it) === undefined,
  "a query field's name is expected",
);
const method = textThat(
  (it) => refuseMethod(it) === undefined && it === it.toUpperCase(),
  "a method in upper case is expected",
);

const carrier = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("bearer") }),
  z.strictObject({ kind: z.literal("token") }),
  z.strictObject({ kind: z.literal("basic"), username: z.string() }),
  z.strictObject({ kind: z.literal("header"), name: headerName }),
  z.strictObject({ kind: z.literal("query"), name: queryName }),
  z.strictObject({ kind: z.literal("json"), pointer: text }),
]);

const auth = z.strictObject({
  carrier,
  slot: text,
  placeholder: text,
  requirePlaceholder: z.boolean(),
  variable: z.optional(text),
});

const isUsable = ({ kind, value }: { kind?: string | undefined; value: string }): boolean =>
  (kind !== "regex" && kind !== "glob") || compilePattern(kind, value).ok;

/** A path that is compared as it stands is in the form that requests are brought to. */
function isReachable({ kind, value }: { kind: string; value: string }): boolean {
  if (kind !== "exact" && kind !== "prefix") return true;
  const normal = normalisePath(value);
  return normal.ok && normal.path === value;
}

const pathMatch = z
  .strictObject({ kind: z.enum(["exact", "prefix", "glob", "regex"]), value: text })
  .check(
    z.refine(isUsable, "the pattern cannot be compiled"),
    z.refine(isReachable, "a path as requests have it is expected"),
  );

const headerMatch = z
  .strictObject({ name: text, value: z.string(), kind: z.optional(z.enum(["exact", "regex"])) })
  .check(z.refine(isUsable, "the pattern cannot be compiled"));

const requestMatch = z.strictObject({
  paths: z.array(pathMatch),
  methods: z.array(method),
  headers: z.array(headerMatch),
});

const count = z.optional(z.int().check(z.gte(1)));

const route = z.strictObject({
  rule: text,
  host: text,
  port: optionalPort,
  matches: z.array(requestMatch),
  auth: z.optional(auth),
  outboundOnMatch: z.enum(["block", "redact", "supervise"]),
  scansOutbound: z.boolean(),
  allowsGitFetch: z.boolean(),
  limits: z.optional(z.strictObject({ requests: count, bytes: count })),
});

const address = textThat(
  (it) => canonicalAddress(it) === it,
  "an address in canonical form is expected",
);
const areNames = (resolve: Readonly<Record<string, unknown>>): boolean =>
  Object.keys(resolve).every((it) => canonicalName(it) === it);

/** The schema of a policy. */
export const policySchema = z.strictObject({
  routes: z.array(route),
  resolve: z
    .record(z.string(), z.strictObject({ address, port: optionalPort }))
    .check(z.refine(areNames, "host names in canonical form are expected")),
});

/** JSON drops fields that are undefined; the policy's types have them. */
export function completePolicy(parsed: z.infer<typeof policySchema>): EgressPolicy {
  const routes = parsed.routes.map((it) => ({
    ...it,
    port: it.port,
    auth: it.auth,
    limits: it.limits && { requests: it.limits.requests, bytes: it.limits.bytes },
  }));
  const resolve = Object.fromEntries(
    Object.entries(parsed.resolve).map(([name, to]) => [
      name,
      { address: to.address, port: to.port },
    ]),
  );
  return { routes, resolve };
}

/** File in a bottle's state that holds its policy. */
export const POLICY_FILE = "policy.json";

/** Writes a bottle's policy into its state directory, for whoever asks later what it may do. */
export function writePolicy(stateDir: string, policy: EgressPolicy): void {
  const file = join(stateDir, POLICY_FILE);
  const next = `${file}.new`;
  // By a rename: whoever reads meanwhile gets one of both whole.
  writeFileSync(next, `${JSON.stringify(policy, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(next, file);
}

/** The policy in a configuration of egress. Throws ProtocolError when there is none. */
export function policyOf(config: unknown): EgressPolicy {
  const parsed = z.looseObject({ policy: policySchema }).safeParse(config);
  if (parsed.success) return completePolicy(parsed.data.policy);
  throw new ProtocolError("protocol.message", "a configuration of egress has no policy");
}

/** Reads a bottle's policy; undefined when there is none. Throws ProtocolError when it is not one. */
export async function readPolicy(stateDir: string): Promise<EgressPolicy | undefined> {
  const file = join(stateDir, POLICY_FILE);
  let content: string;
  try {
    content = await readFile(file, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
  const parsed = policySchema.safeParse(parseText(content));
  if (parsed.success) return completePolicy(parsed.data);
  throw new ProtocolError("protocol.record", `policy unreadable: ${file} is not a policy`);
}

function parseText(content: string): unknown {
  try {
    return parseJson(content);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
