/** Reads the egress daemon's configuration. It comes from our own planner, yet nothing of it is trusted unparsed. */
import * as z from "zod/mini";
import { ProtocolError } from "../../base/errors.ts";
import type { EgressConfig } from "../../policy/egress.ts";
import { completePolicy, optionalPort, policySchema } from "../../protocol/policy.ts";

const text = z.string().check(z.minLength(1), z.maxLength(4096));

const config = z.strictObject({
  policy: policySchema,
  logLevel: z.union([z.literal(0), z.literal(1), z.literal(2)]),
  upstreamCa: z.array(z.string()),
  upstreamProxy: z.optional(text),
  scanSlots: z.array(text),
  renewableSlots: z.optional(z.array(text)),
  placeholders: z.array(z.strictObject({ value: text, host: text, port: optionalPort })),
  caCertificate: z.string(),
});

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
function complete(parsed: z.infer<typeof config>): EgressConfig {
  const placeholders = parsed.placeholders.map((it) => ({ ...it, port: it.port }));
  const { upstreamProxy } = parsed;
  return { ...parsed, policy: completePolicy(parsed.policy), upstreamProxy, placeholders };
}
