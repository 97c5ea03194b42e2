// docs/manifest.md, made from the descriptions in the manifest schemas.
import {
  agentJsonSchema,
  bottleJsonSchema,
  type FieldRow,
  listFields,
} from "../../src/manifest/json-schema.ts";

/** The reference page of manifest files. */
export function renderManifestPage(): string {
  return [
    HEAD,
    "## Bottle files",
    "",
    "`~/.bot-bottle/bottles/NAME.md`. The body is for people.",
    "",
    ...table(listFields(bottleJsonSchema())),
    MERGING,
    "## Agent files",
    "",
    "`~/.bot-bottle/agents/NAME.md`, or `.bot-bottle/agents/NAME.md` in a repository. The body is the system prompt.",
    "",
    ...table(listFields(agentJsonSchema())),
  ].join("\n");
}

function table(rows: readonly FieldRow[]): readonly string[] {
  return [
    "| key | value | meaning |",
    "|---|---|---|",
    ...rows.map((row) => `| \`${row.path}\` | ${cell(row.type)} | ${cell(meaning(row))} |`),
    "",
  ];
}

function meaning(row: FieldRow): string {
  const parts = [
    row.isRequired ? "Required." : "",
    row.description,
    row.byDefault === undefined ? "" : `Default: \`${row.byDefault}\`.`,
    row.example === undefined ? "" : `Example: \`${row.example}\`.`,
  ];
  return parts.filter((it) => it !== "").join(" ");
}

/** A vertical bar would end the cell. */
const cell = (text: string): string => text.replace(/\|/g, "\\|");

const HEAD = `<!-- Made by scripts/generate.ts from the schemas in src/manifest/; do not edit. -->
# Manifest files

A manifest file is Markdown with a YAML block (YAML 1.2, without anchors, aliases and tags) between two \`---\` lines at its
start. Its name without \`.md\` is the name of the bottle or agent: a lower-case letter, then letters, digits and hyphens.

A **bottle** says what a guest may reach and with which credentials. Bottles come only from the operator's home, so that a
clone can never grant itself a host or a credential. An **agent** says what runs: a prompt, skills, and the bottle it wants.
Agents may also come from a repository; your own agent of the same name wins, and the bottle that a repository's agent names
counts only when you name it with \`--bottle\` or have confirmed the file once. A confirmed file that changes is asked about again.

Everything unknown is an error, and all errors are reported at once, each with its file, line and column. Only the chosen
agent and its bottles are read, so a broken file does not block the others. Editors can check the YAML block with
\`schema/bottle.schema.json\` and \`schema/agent.schema.json\`.

Paths on the host may start with \`~/\`; relative ones start at the bottle file. Sizes are written like \`512MiB\` or \`4GiB\`.
`;

const MERGING = `### How bottles are merged

A bottle that \`extends\` others stands on top of them:

- \`env\` merges by name; the child wins.
- \`egress.routes\` with \`egress.log\`, \`egress.resolve\`, \`git-gate.repos\` and \`mounts\` are replaced as a whole when the child
  declares them (\`egress\` for the first two); an empty list clears, leaving the key out inherits.
- \`agent_provider\` is replaced when the child names a \`template\`, otherwise its keys are laid over the inherited ones, so that
  a credential of one agent never ends up with another.
- Every other key is inherited one by one; the child wins.

Several parents, and several \`--bottle\`, are united from left to right: maps and lists by name (routes by host and port,
repositories by name and then key by key, mounts by place), single values with the later one winning. A later bottle does not
bring back what a file that is already in has declared and another bottle has overridden. A replaced route is reported.
`;
