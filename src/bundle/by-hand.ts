/**
 * What a bundle that was started by hand does: the first order, read from the environment and the files that the image's
 * variables name. Invariant: what is not understood ends the start; nothing is guessed and no secret is quoted.
 */
import { readFileSync, statSync } from "node:fs";
import { messageOf, systemCode, UsageError } from "../base/errors.ts";
import { CA_KEY_SLOT, type EgressConfig } from "../policy/egress.ts";
import { BUNDLE_PROTOCOL_VERSION, type BundleOrder } from "../protocol/bundle.ts";
import { DOOR_PORTS, formatDoor } from "../protocol/door.ts";
import { createAuthority } from "../tls/authority.ts";
import type { DaemonOrder } from "./daemons.ts";
import { loadSuffixes } from "./load-suffixes.ts";
import { parseRoutesFile } from "./routes-file.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Where the routes are looked for, the first that exists. Both hold JSON, which YAML includes. */
export const ROUTES_FILES = ["/etc/egress/routes.json", "/etc/egress/routes.yaml"] as const;
/** Certificate and key of the authority, one PEM file. */
export const AUTHORITY_FILE = "/etc/egress/ca.pem";
const MAX_FILE_BYTES: number = 4 * 1024 * 1024;
const EVERYONE = "0.0.0.0/0";
/** Slots that the routes file may name; the values come in variables of these names. */
const TOKEN_SLOT = /^EGRESS_TOKEN_[A-Za-z0-9_]{1,64}$/;
/** Variables of a daemon that this build does not have: taken, so that old command lines still work, and told. */
const LATER_VARIABLE = /^SUPERVISE_/;

/** What is done, and what people are told. */
export interface ByHand {
  readonly order: Omit<Extract<BundleOrder, { kind: "configure" }>, "daemons"> & {
    daemons: [DaemonOrder & { readonly config: EgressConfig }];
  };
  /** The authority's certificate when it was made just now: whoever uses the proxy has to trust it. */
  readonly madeCertificate: string | undefined;
  readonly notes: readonly string[];
}

/** Reads the order; `entryFile` is the bundle's own. Throws UsageError that names the variable or file at fault. */
export function readByHand(env: Env, now: number, entryFile: string): ByHand {
  const routesFile = ROUTES_FILES.find(isThere);
  const parsed =
    routesFile === undefined
      ? undefined
      : parseRoutesFile(readText(routesFile), {
          path: routesFile,
          suffixes: () => loadSuffixes(entryFile),
        });
  const policy = parsed?.policy ?? { routes: [], resolve: {} };
  const authority = readAuthority(now);
  const config: EgressConfig = {
    policy,
    logLevel: parsed?.logLevel ?? 1,
    upstreamCa: readUpstreamCa(env["EGRESS_UPSTREAM_CA"]),
    upstreamProxy: env["EGRESS_UPSTREAM_PROXY"] || undefined,
    scanSlots: [],
    placeholders: policy.routes.flatMap(({ auth, host, port }) =>
      auth === undefined ? [] : [{ value: auth.placeholder, host, port }],
    ),
    caCertificate: authority.certificatePem,
  };
  const slots = new Set(policy.routes.flatMap((route) => route.auth?.slot ?? []));
  const tokens = Object.fromEntries([...slots].map((slot) => [slot, readToken(env, slot)]));
  const egress = {
    name: "egress" as const,
    config,
    secrets: { ...tokens, [CA_KEY_SLOT]: authority.keyPem },
    door: doorOf(env["EGRESS_LISTEN_HOST"] || "0.0.0.0"),
  } satisfies DaemonOrder;
  return {
    order: {
      kind: "configure",
      version: BUNDLE_PROTOCOL_VERSION,
      slug: env["SUPERVISE_BOTTLE_SLUG"] || "by-hand",
      auditFile: env["BOT_BOTTLE_AUDIT_FILE"] ?? "",
      daemons: [egress],
    },
    madeCertificate: authority.isNew ? authority.certificatePem : undefined,
    notes: notesOf(env, routesFile),
  };
}

function notesOf(env: Env, routesFile: string | undefined): readonly string[] {
  const later = Object.keys(env).filter((name) => LATER_VARIABLE.test(name));
  return [
    ...(later.length === 0 ? [] : [`this build has no supervise: ${later.join(", ")} do nothing`]),
    ...(routesFile === undefined
      ? [`no routes file (${ROUTES_FILES.join(" or ")}): every request is refused`]
      : []),
  ];
}

function doorOf(host: string): string {
  const door = { kind: "tcp", address: host, port: DOOR_PORTS.proxy, from: EVERYONE } as const;
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(host)) return formatDoor(door);
  throw unusable("EGRESS_LISTEN_HOST", "an IPv4 address is expected");
}

function readToken(env: Env, slot: string): string {
  if (!TOKEN_SLOT.test(slot))
    throw unusable(`token "${slot.slice(0, 80)}" of the routes file`, "EGRESS_TOKEN_n is expected");
  const value = env[slot];
  if (value === undefined || value === "")
    throw unusable(slot, "it is not set, and a route of the routes file needs it");
  return value;
}

interface Authority {
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly isNew: boolean;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/;
const KEY = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/;

function readAuthority(now: number): Authority {
  if (!isThere(AUTHORITY_FILE)) {
    const { certificatePem, keyPem } = createAuthority({ commonName: "bot-bottle by hand", now });
    return { certificatePem, keyPem, isNew: true };
  }
  const text = readText(AUTHORITY_FILE);
  const [certificatePem] = CERTIFICATE.exec(text) ?? [];
  const [keyPem] = KEY.exec(text) ?? [];
  if (certificatePem !== undefined && keyPem !== undefined)
    return { certificatePem: `${certificatePem}\n`, keyPem: `${keyPem}\n`, isNew: false };
  throw unusable(AUTHORITY_FILE, "a certificate and a PKCS #8 private key in PEM are expected");
}

function readUpstreamCa(path: string | undefined): readonly string[] {
  if (path === undefined || path === "") return [];
  const pem = readText(path);
  if (CERTIFICATE.test(pem)) return [pem];
  throw unusable(`EGRESS_UPSTREAM_CA=${path}`, "a PEM certificate is expected");
}

/** A file that is there but out of reach counts: it must not be taken for one that nobody gave. */
function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return true;
  }
}

function readText(path: string): string {
  try {
    const bytes = readFileSync(path);
    if (bytes.length <= MAX_FILE_BYTES) return bytes.toString("utf8");
  } catch (error) {
    throw unusable(path, `it cannot be read: ${systemCode(error) ?? messageOf(error)}`);
  }
  throw unusable(path, `at most ${MAX_FILE_BYTES} bytes are expected`);
}

function unusable(what: string, why: string): UsageError {
  return new UsageError("usage.invalid", `${what} cannot be used: ${why}`, {
    hint: "see docs/bundle.md",
  });
}
