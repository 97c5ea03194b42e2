/** `schema`: the JSON Schema of what people and programs write or read. */
import * as z from "zod/mini";
import { agentJsonSchema, bottleJsonSchema } from "../../index.ts";
import { auditLineSchema } from "../../protocol/audit.ts";
import type { Command } from "../command.ts";
import { eventsJsonSchema } from "../events-schema.ts";

const SCHEMAS = {
  bottle: bottleJsonSchema,
  agent: agentJsonSchema,
  audit: () => ({
    title: "One line of bot-bottle audit show --json",
    ...z.toJSONSchema(auditLineSchema()),
  }),
  events: eventsJsonSchema,
} as const;
type SchemaName = keyof typeof SCHEMAS;

const isSchemaName = (text: string): text is SchemaName => Object.hasOwn(SCHEMAS, text);

/** The command `schema`. */
export const schemaCommand: Command = {
  name: "schema",
  summary: "print the JSON Schema of manifest files",
  description:
    "Print one JSON Schema (draft 2020-12): the front matter of bottle or agent files, a line of the audit log, or a line of start --events. Without argument: all, by name.",
  isInterruptible: true,
  args: [{ name: "what", summary: "which one", isOptional: true, choices: Object.keys(SCHEMAS) }],
  flags: [{ name: "json", summary: "accepted everywhere; schemas are JSON anyway" }],
  examples: [
    { command: "bot-bottle schema bottle > bottle.schema.json", explanation: "for an editor" },
    { command: "bot-bottle schema | jq keys", explanation: "which schemas there are" },
  ],
  run: ({ args }, { output }) => {
    const [what] = args;
    const value =
      what !== undefined && isSchemaName(what)
        ? SCHEMAS[what]()
        : Object.fromEntries(Object.entries(SCHEMAS).map(([name, render]) => [name, render()]));
    output.print(JSON.stringify(value, null, 2));
    return Promise.resolve(0);
  },
};
