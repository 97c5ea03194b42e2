/** The JSON Schema of one line of `start --events`; held to the type of the events by the compiler. */

import * as z from "zod/mini";
import { type BottleEvent, LAUNCH_STEPS } from "../index.ts";
import { auditEventSchema } from "../protocol/audit.ts";

type Fields<K extends BottleEvent["kind"]> = Record<
  Exclude<keyof Extract<BottleEvent, { kind: K }>, "kind">,
  object
>;
const text = { type: "string" } as const;
const step = { type: "string", enum: LAUNCH_STEPS } as const;

/** Every kind with exactly its fields: a new kind or field of the type does not compile without one here. */
const KINDS: { readonly [K in BottleEvent["kind"]]: Fields<K> } = {
  step: { step },
  progress: { step, detail: text },
  decision: { event: auditEvent() },
  "bundle-restarted": { reason: text },
  audit: { state: { type: "string", enum: ["failed", "recovered"] }, detail: text, path: text },
  credential: {
    state: { type: "string", enum: ["renewed", "expired", "refused"] },
    name: text,
    detail: text,
  },
  "agent-started": { argv: { type: "array", items: text } },
  "agent-exited": { exitCode: { type: "integer" }, signal: text },
  closing: { why: text },
  closed: { kept: text, auditHead: text },
};

/** Fields that are absent when there is nothing to say. */
const OPTIONAL = new Set(["exitCode", "signal", "kept", "auditHead"]);

function auditEvent(): object {
  const { $schema, ...schema } = z.toJSONSchema(auditEventSchema());
  void $schema;
  return schema;
}

/** One line of the events file: `time` and one event. */
export function eventsJsonSchema(): Record<string, unknown> {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "One line of bot-bottle start --events",
    oneOf: Object.entries(KINDS).map(([kind, fields]) => ({
      type: "object",
      properties: {
        time: { type: "string", format: "date-time" },
        kind: { const: kind },
        ...fields,
      },
      required: ["time", "kind", ...Object.keys(fields).filter((name) => !OPTIONAL.has(name))],
    })),
  };
}
