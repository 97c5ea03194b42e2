/** The schema of a bottle file's front matter. Only files under the operator's home follow it. */
import * as z from "zod/mini";
import { field, keys, list, option, parsedText } from "./fields.ts";
import { parseGitUrl, parseHostKey, parseRepoName } from "./git-url.ts";
import { parseGuestMount } from "./host-paths.ts";
import { parseEnvName, parseName, parseTokenName } from "./names.ts";
import { gitUserSchema } from "./schema-agent.ts";
import { egressSchema, pathSchema, sizeSchema, tokenRefSchema } from "./schema-egress.ts";
import { parseEnvValue } from "./user-text.ts";

const name = parsedText(parseName);

const providerSchema = keys({
  template: option(name, "The agent: claude, codex, or command for any program.", {
    default: "claude",
  }),
  dockerfile: option(pathSchema, "Dockerfile of the guest's image, relative to this file."),
  auth_token: option(
    tokenRefSchema,
    "Where the agent's own credential is read: the name of a variable, {name, file} or {name, command}. The guest gets a placeholder.",
  ),
  auth_kind: option(z.enum(["bearer", "api-key"]), "Kind of that credential.", {
    default: "bearer",
  }),
  forward_host_credentials: option(
    z.boolean(),
    "Use the login of the agent on the host, without giving it to the guest.",
    { default: false },
  ),
  settings: option(z.record(z.string(), z.json()), "Settings of the template.", {
    examples: [{ argv: ["sh", "-c", "make test"] }],
  }),
});

const keySchema = z.discriminatedUnion("provider", [
  keys({
    provider: option(z.literal("static"), "A key file of the operator.", { default: "static" }),
    path: field(pathSchema, "Private key file on the host; the guest never has it."),
  }),
  keys({
    provider: field(
      z.literal("gitea"),
      "A deploy key that is made for each bottle and removed with it.",
    ),
    forge_token_env: field(
      parsedText(parseTokenName),
      "Host variable that holds the forge's API token.",
    ),
  }),
]);

const repoSchema = keys({
  url: field(parsedText(parseGitUrl), "SSH URL of the upstream.", {
    examples: ["ssh://git@git.example.com/owner/repo.git"],
  }),
  host_key: option(parsedText(parseHostKey), "The upstream's host key, `<type> <base64>`."),
  key: field(keySchema, "The key that pushes to and fetches from the upstream."),
});

const gitGateSchema = keys({
  user: option(gitUserSchema, "Identity of commits."),
  repos: option(
    z.record(parsedText(parseRepoName), repoSchema),
    "Upstreams by their name on the gate: NAME becomes NAME.git there.",
  ),
});

const limitsSchema = keys({
  memory: option(sizeSchema, "Memory of the guest.", { examples: ["4GiB"] }),
  processes: option(
    z.int().check(z.gte(1), z.lte(1_000_000)),
    "Most processes and threads of the guest.",
  ),
  cpus: option(z.number().check(z.gt(0), z.lte(4096)), "Processors, fractions allowed."),
  disk: option(sizeSchema, "Size of the guest's disk.", { examples: ["20GiB"] }),
});

const mountSchema = keys({
  host: field(pathSchema, "Directory or file of the host."),
  guest: field(parsedText(parseGuestMount), "Where it appears in the guest, read-only."),
});

/** The schema of a bottle file's front matter; the body is for people. */
export const bottleSchema = keys({
  extends: option(
    z.union([name, list(name)]),
    "Bottle or bottles that this one builds on, merged left to right.",
  ),
  env: option(
    z.record(parsedText(parseEnvName), parsedText(parseEnvValue)),
    'Variables that the guest is given: a text, "?question" to be asked at start, or "${HOST_VARIABLE}".',
  ),
  agent_provider: option(providerSchema, "Which agent runs, and its credential."),
  "git-gate": option(gitGateSchema, "Git remotes; the gate holds their keys and scans every push."),
  egress: option(egressSchema, "What the guest may reach; everything else is refused."),
  supervise: option(z.boolean(), "Let the agent ask the operator for more.", { default: true }),
  backend: option(
    z.enum(["bubblewrap", "docker", "smolmachines"]),
    "What isolates the guest; --backend and BOT_BOTTLE_BACKEND win.",
  ),
  attachment: option(
    z.enum(["auto", "sockets", "internal", "tsi"]),
    "How the guest reaches the doors.",
    {
      default: "auto",
    },
  ),
  runtime: option(
    z.string().check(z.regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, "a name such as runsc")),
    "OCI runtime of the docker backend.",
    {
      examples: ["runsc"],
    },
  ),
  limits: option(limitsSchema, "Limits of the guest."),
  mounts: option(
    list(mountSchema),
    "What of the host the guest may read. In a container, file systems mounted below one are not shown.",
  ),
});

/** A bottle file's front matter once the schema has judged it. */
export type BottleData = z.infer<typeof bottleSchema>;
