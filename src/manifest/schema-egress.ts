/** The schema of `egress`: routes, their credentials and rules, and how upstreams are reached. */
import * as z from "zod/mini";
import { field, keys, list, option, parsed, parsedText } from "./fields.ts";
import { parsePathText } from "./host-paths.ts";
import { parseHostName, parseProxyUrl, parseResolve, parseRouteHost } from "./hosts.ts";
import { parseTokenName } from "./names.ts";
import {
  parseArgument,
  parseBasicUser,
  parseHeaderMatch,
  parseHeaderName,
  parseHeaderValue,
  parseMethod,
  parsePathMatch,
  parsePointer,
  parseQueryName,
} from "./request-parts.ts";
import { parseSize } from "./sizes.ts";

/** Detectors of what leaves. */
export const OUTBOUND_DETECTORS = [
  "token_patterns",
  "known_secrets",
  "generic",
  "entropy",
] as const;
/** Detectors of what comes back. */
export const INBOUND_DETECTORS = ["naive_injection_detection"] as const;

/** A size in bytes, as text or number. */
export const sizeSchema: z.ZodMiniType<number, string | number> = z.pipe(
  z.union([z.string(), z.number()]),
  parsed(parseSize),
);
/** A path of the operator's machine. */
export const pathSchema: z.ZodMiniType<string, string> = parsedText(parsePathText);

const tokenName = parsedText(parseTokenName);
const positive = z.int().check(z.gte(1));

/** Where a credential is read. */
export const tokenRefSchema = z.union([
  tokenName,
  keys({
    name: field(
      tokenName,
      "Name of the credential; on a route also the guest's placeholder variable.",
    ),
    file: option(pathSchema, "File that holds the value; a newline at its end is dropped."),
    command: option(
      list(parsedText(parseArgument)).check(z.minLength(1)),
      "Program and arguments that print the value, run without a shell.",
    ),
  }),
]);

const authFields = {
  token_ref: field(
    tokenRefSchema,
    "Where the real value is read on the host: the name of a variable, {name, file} or {name, command}. The name is also the guest's placeholder variable.",
    { examples: ["GITEA_TOKEN", { name: "API_KEY", file: "~/.secrets/api-key" }] },
  ),
  require_placeholder: option(z.boolean(), "Refuse requests that come without the placeholder.", {
    default: false,
  }),
};

const authSchema = z.discriminatedUnion("scheme", [
  keys({
    scheme: field(
      z.enum(["Bearer", "token"]),
      "`Authorization: Bearer VALUE` or `Authorization: token VALUE`.",
    ),
    ...authFields,
  }),
  keys({
    scheme: field(z.literal("basic"), "`Authorization: Basic`, the value as password."),
    username: field(parsedText(parseBasicUser), "With `basic`: the user."),
    ...authFields,
  }),
  keys({
    scheme: field(z.literal("header"), "A header of its own."),
    name: field(parsedText(parseHeaderName), "With `header`: name of the header.", {
      examples: ["X-Api-Key"],
    }),
    ...authFields,
  }),
  keys({
    scheme: field(z.literal("query"), "A field of the query string."),
    name: field(parsedText(parseQueryName), "With `query`: name of the field."),
    ...authFields,
  }),
  keys({
    scheme: field(z.literal("json"), "A field of a JSON body."),
    pointer: field(parsedText(parsePointer), "With `json`: JSON pointer of the field.", {
      examples: ["/auth/key"],
    }),
    ...authFields,
  }),
]);

const matchSchema = keys({
  paths: option(
    list(
      z.pipe(
        keys({
          type: option(
            z.enum(["exact", "prefix", "glob", "regex"]),
            "How the value is compared: prefix by whole segments; glob with *, ** and ?; regex in linear time, on the whole path.",
            { default: "prefix" },
          ),
          value: field(z.string(), "The path, on the normalised path without query.", {
            examples: ["/api/v1/"],
          }),
        }),
        parsed(parsePathMatch),
      ),
    ),
    "Paths, one of which must fit.",
  ),
  methods: option(list(parsedText(parseMethod)), "HTTP methods, one of which must fit.", {
    examples: [["GET", "POST"]],
  }),
  headers: option(
    list(
      z.pipe(
        keys({
          name: field(parsedText(parseHeaderName), "Name of the header."),
          value: field(parsedText(parseHeaderValue), "Its value."),
          type: option(
            z.enum(["exact", "regex"]),
            "How the value is compared; a regex must fit the whole of it.",
            { default: "exact" },
          ),
        }),
        parsed(parseHeaderMatch),
      ),
    ),
    "Headers, all of which must fit.",
  ),
});

const detectors = <const T extends readonly string[]>(names: T) =>
  z.union([z.literal(false), list(z.enum(names)).check(z.minLength(1))]);

const dlpSchema = keys({
  outbound_detectors: option(
    detectors(OUTBOUND_DETECTORS),
    "Detectors of what leaves, instead of the default ones; false switches them off.",
  ),
  inbound_detectors: option(
    detectors(INBOUND_DETECTORS),
    "Detectors of what comes back, instead of the default ones; false switches them off.",
  ),
  outbound_on_match: option(
    z.enum(["supervise", "redact", "block"]),
    "What a finding in outgoing data does: ask the operator, remove the value, or refuse.",
    { default: "supervise" },
  ),
  inbound_on_match: option(z.enum(["block", "warn"]), "What a finding in an answer does."),
});

const routeSchema = keys({
  host: field(
    parsedText(parseRouteHost),
    "Host name, with a port or without. Without: https on 443 and http on 80. `*.` stands for exactly one label, and may not stand below a public suffix. One entry per host.",
    { examples: ["api.example.com", "api.example.com:8443", "*.example.com"] },
  ),
  auth: option(
    authSchema,
    "The credential that egress puts into requests; the guest holds a placeholder.",
  ),
  matches: option(
    list(matchSchema).check(z.minLength(1)),
    "Requests that pass: at least one entry must fit, with all of its parts. Without: every request to the host.",
  ),
  git: option(
    keys({
      fetch: option(z.boolean(), "Allow git clone and fetch over https.", { default: false }),
    }),
    "Git over https. Pushing never passes here; it goes through git-gate.",
  ),
  dlp: option(dlpSchema, "Scanning for secrets and injections."),
  limits: option(
    keys({
      requests: option(positive, "Most requests in the bottle's life."),
      bytes: option(
        sizeSchema,
        "Most bytes sent in the bottle's life: targets, headers and bodies of requests.",
        { examples: ["100MiB"] },
      ),
    }),
    "Budgets of the route; what goes beyond is refused.",
  ),
});

/** The schema of `egress`. */
export const egressSchema = keys({
  routes: option(list(routeSchema), "Hosts that the guest may reach. None: it reaches nothing.", {
    default: [],
  }),
  log: option(
    z.union([z.literal(0), z.literal(1), z.literal(2)]),
    "Traffic log: 0 off, 1 refusals, 2 everything, credentials masked.",
    { default: 0 },
  ),
  resolve: option(
    z.record(parsedText(parseHostName), parsedText(parseResolve)),
    "Addresses of names, instead of DNS; the only way to a private address. Grants nothing without a route.",
    { examples: [{ "api.example.com": "127.0.0.1:18443" }] },
  ),
  upstream_ca: option(
    list(pathSchema),
    "PEM files of roots that are trusted in addition to the system's.",
  ),
  upstream_proxy: option(parsedText(parseProxyUrl), "Proxy through which upstreams are reached.", {
    examples: ["http://proxy.example.com:3128"],
  }),
  pipelock: option(z.enum(["required", "auto", "off"]), "Scanning by pipelock behind egress.", {
    default: "off",
  }),
});
