// The keys that manifests may have are an interface: a key that goes or changes its kind breaks files of users.
import { expect, it } from "vitest";
import {
  agentJsonSchema,
  bottleJsonSchema,
  type FieldRow,
  listFields,
} from "../../src/manifest/json-schema.ts";

const row = (it: FieldRow): string => `${it.path}${it.isRequired ? "*" : ""}: ${it.type}`;

it("keys of an agent", () => {
  expect(listFields(agentJsonSchema()).map(row)).toEqual([
    "bottle: text",
    "skills: list of text",
    "git-gate: map",
    "git-gate.user*: map",
    "git-gate.user.name: text",
    "git-gate.user.email: text",
    "name: anything",
    "description: anything",
    "model: anything",
    "color: anything",
    "memory: anything",
  ]);
});

it("keys of a bottle", () => {
  expect(listFields(bottleJsonSchema()).map(row)).toEqual(BOTTLE);
});

it("every field has a description that ends like a sentence", () => {
  const rows = [...listFields(agentJsonSchema()), ...listFields(bottleJsonSchema())];
  expect(rows.filter((it) => !/[.]$/.test(it.description)).map((it) => it.path)).toEqual([]);
});

const BOTTLE = [
  "extends: text or list of text",
  "env: map",
  "agent_provider: map",
  "agent_provider.template: text",
  "agent_provider.dockerfile: text",
  "agent_provider.auth_token: text or map",
  "agent_provider.auth_token.name*: text",
  "agent_provider.auth_token.file: text",
  "agent_provider.auth_token.command: list of text",
  "agent_provider.auth_kind: `bearer`, `api-key`",
  "agent_provider.forward_host_credentials: true or false",
  "agent_provider.settings: map",
  "git-gate: map",
  "git-gate.user: map",
  "git-gate.user.name: text",
  "git-gate.user.email: text",
  "git-gate.repos: map",
  "git-gate.repos.NAME.url*: text",
  "git-gate.repos.NAME.host_key: text",
  "git-gate.repos.NAME.key*: map",
  "git-gate.repos.NAME.key.provider: `static`, `gitea`",
  "git-gate.repos.NAME.key.path*: text",
  "git-gate.repos.NAME.key.forge_token_env*: text",
  "egress: map",
  "egress.routes: list of map",
  "egress.routes[].host*: text",
  "egress.routes[].auth: map",
  "egress.routes[].auth.scheme*: `Bearer`, `token`, `basic`, `header`, `query`, `json`",
  "egress.routes[].auth.token_ref*: text or map",
  "egress.routes[].auth.token_ref.name*: text",
  "egress.routes[].auth.token_ref.file: text",
  "egress.routes[].auth.token_ref.command: list of text",
  "egress.routes[].auth.require_placeholder: true or false",
  "egress.routes[].auth.username*: text",
  "egress.routes[].auth.name*: text",
  "egress.routes[].auth.pointer*: text",
  "egress.routes[].matches: list of map",
  "egress.routes[].matches[].paths: list of map",
  "egress.routes[].matches[].paths[].type: `exact`, `prefix`, `glob`, `regex`",
  "egress.routes[].matches[].paths[].value*: text",
  "egress.routes[].matches[].methods: list of text",
  "egress.routes[].matches[].headers: list of map",
  "egress.routes[].matches[].headers[].name*: text",
  "egress.routes[].matches[].headers[].value*: text",
  "egress.routes[].matches[].headers[].type: `exact`, `regex`",
  "egress.routes[].git: map",
  "egress.routes[].git.fetch: true or false",
  "egress.routes[].dlp: map",
  "egress.routes[].dlp.outbound_detectors: `false` or list of `token_patterns`, `known_secrets`, `generic`, `entropy`",
  "egress.routes[].dlp.inbound_detectors: `false` or list of `naive_injection_detection`",
  "egress.routes[].dlp.outbound_on_match: `supervise`, `redact`, `block`",
  "egress.routes[].dlp.inbound_on_match: `block`, `warn`",
  "egress.routes[].limits: map",
  "egress.routes[].limits.requests: whole number",
  "egress.routes[].limits.bytes: text or number",
  "egress.log: `0` or `1` or `2`",
  "egress.resolve: map",
  "egress.upstream_ca: list of text",
  "egress.upstream_proxy: text",
  "egress.pipelock: `required`, `auto`, `off`",
  "supervise: true or false",
  "backend: `bubblewrap`, `docker`, `smolmachines`",
  "attachment: `auto`, `sockets`, `internal`, `tsi`",
  "runtime: text",
  "limits: map",
  "limits.memory: text or number",
  "limits.processes: whole number",
  "limits.cpus: number",
  "limits.disk: text or number",
  "mounts: list of map",
  "mounts[].host*: text",
  "mounts[].guest*: text",
];
