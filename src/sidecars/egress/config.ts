/** Reads the egress daemon's configuration. It comes from our own planner, yet nothing of it is trusted unparsed. */
import * as z from "zod/mini";
import { ProtocolError } from "../../base/errors.ts";
import type { EgressConfig } from "../../policy/egress.ts";
import { compilePattern } from "../../policy/pattern/compile.ts";

const text = z.string().check(z.minLength(1), z.maxLength(4096));
const port = z.int().check(z.gte(1), z.lte(65_535));
const optionalPort = z.optional(port);

const carrier = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("bearer") }),
  z.strictObject({ kind: z.literal("token") }),
  z.strictObject({ kind: z.literal("basic"), username: z.string() }),
  z.strictObject({ kind: z.literal("header"), name: text }),
  z.strictObject({ kind: z.literal("query"), name: text }),
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

const pathMatch = z
  .strictObject({ kind: z.enum(["exact", "prefix", "glob", "regex"]), value: text })
  .check(z.refine(isUsable, "the pattern cannot be compiled"));

const headerMatch = z
  .strictObject({ name: text, value: z.string(), kind: z.optional(z.enum(["exact", "regex"])) })
  .check(z.refine(isUsable, "the pattern cannot be compiled"));

const count = z.optional(z.int().check(z.gte(1)));

const requestMatch = z.strictObject({
  paths: z.array(pathMatch),
  methods: z.array(text),
  headers: z.array(headerMatch),
});

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

const policy = z.strictObject({
  routes: z.array(route),
  resolve: z.record(z.string(), z.strictObject({ address: text, port: optionalPort })),
});

const config = z.strictObject({
  policy,
  logLevel: z.union([z.literal(0), z.literal(1), z.literal(2)]),
  upstreamCa: z.array(z.string()),
  upstreamProxy: z.optional(text),
  scanSlots: z.array(text),
  renewableSlots: z.optional(z.array(text)),
  placeholders: z.array(z.strictObject({ value: text, host: text, port: optionalPort })),
  caCertificate: z.string(),
});

type Parsed = z.infer<typeof config>;

/** Parses the configuration. Throws ProtocolError that names the faulty places. */
export function parseEgressConfig(value: unknown): EgressConfig {
  const result = config.safeParse(value);
  if (result.success) return complete(result.data);
  const places = result.error.issues.slice(0, 5).map((it) => `${it.path.join(".")}: ${it.message}`);
  throw new ProtocolError(
    "protocol.message",
    `egress configuration malformed: ${places.join("; ")}`,
  );
}

/** JSON drops fields that are undefined; the plan's types have them. */
function complete(parsed: Parsed): EgressConfig {
  const routes = parsed.policy.routes.map((it) => ({
    ...it,
    port: it.port,
    auth: it.auth,
    limits: it.limits && { requests: it.limits.requests, bytes: it.limits.bytes },
  }));
  const resolve = Object.fromEntries(
    Object.entries(parsed.policy.resolve).map(([name, to]) => [
      name,
      { address: to.address, port: to.port },
    ]),
  );
  const placeholders = parsed.placeholders.map((it) => ({ ...it, port: it.port }));
  const { upstreamProxy } = parsed;
  return { ...parsed, policy: { routes, resolve }, upstreamProxy, placeholders };
}
