/** Everything that requests are judged by, made from one configuration and swapped as one value on reload. */
import type { SecureContext } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import { ProtocolError } from "../../base/errors.ts";
import type { Secret, Secrets } from "../../base/secret.ts";
import { renderCredential } from "../../policy/credentials.ts";
import {
  compileKnownSecrets,
  type KnownSecrets,
  type NamedSecret,
} from "../../policy/dlp/known-secrets.ts";
import type { ScanPolicy } from "../../policy/dlp/types.ts";
import { CA_KEY_SLOT, type EgressConfig } from "../../policy/egress.ts";
import type { Services } from "./context.ts";
import type { LeafCache, LeafCacheOptions } from "./leaf-cache.ts";
import { type ProxyAddress, parseProxyAddress } from "./proxy-address.ts";
import { createRecorder, type Recorder } from "./record.ts";
import { createUpstreamContext } from "./trust.ts";
import { unpack } from "./unpack.ts";
import { UpstreamPool } from "./upstream-pool.ts";

export interface EgressState {
  readonly config: EgressConfig;
  readonly proxy: ProxyAddress | undefined;
  /** Looks for what must not leave. */
  readonly scanPolicy: ScanPolicy;
  /** Tokens that upstreams get and may echo; undefined when no route has any. */
  readonly echoes: KnownSecrets | undefined;
  readonly secrets: Secrets;
  /** Contexts to present to the guest; made on first use. */
  readonly leaves: () => Promise<LeafCache>;
  /** What upstreams are verified against; read on first use. */
  readonly trust: () => SecureContext;
  readonly pool: UpstreamPool;
  /** Writes down what is decided by this state; made on first use. */
  readonly recorder: (services: Pick<Services, "audit" | "log">) => Recorder;
}

/** Values by slot, and those that were replaced: an upstream may still accept, and echo, one of them. */
export interface HeldSecrets {
  readonly values: Secrets;
  readonly retired: readonly NamedSecret[];
}

/** Most replaced values that are searched for and masked. */
const MAX_RETIRED = 8;

/** Replaces the values that changed. */
export function replaceSecrets(held: HeldSecrets, values: Secrets): HeldSecrets {
  const old = [...held.values].flatMap(([name, secret]): NamedSecret[] => {
    const value = secret.reveal();
    return name === CA_KEY_SLOT || values.get(name)?.reveal() === value ? [] : [{ name, value }];
  });
  return { values, retired: [...held.retired, ...old].slice(-MAX_RETIRED) };
}

/** Makes the state. Throws ProtocolError when a slot has no value or a part of the configuration is unusable. */
export function createState(
  config: EgressConfig,
  { values: secrets, retired }: HeldSecrets,
  clock: Clock,
): EgressState {
  const injected = config.policy.routes.flatMap((route) => route.auth?.slot ?? []);
  const tokens = [...valuesOf(injected, secrets), ...retired];
  const searched = [...valuesOf([...injected, ...config.scanSlots], secrets), ...retired];
  const caKey = secretOf(CA_KEY_SLOT, secrets);
  for (const { rule, auth } of config.policy.routes) {
    if (auth === undefined) continue;
    const value = secretOf(auth.slot, secrets).reveal().trim();
    if (value !== "" && renderCredential(auth.carrier, value) !== undefined) continue;
    throw new ProtocolError(
      "protocol.message",
      `${rule}: the value of ${auth.slot} cannot stand in a header`,
    );
  }
  // Compiling tables takes longer than all of the rest, and nothing needs them before the door accepts.
  const scanPolicy = once(() => ({
    detectors: searched.length === 0 ? [] : [compileKnownSecrets(searched).detector],
    placeholders: config.placeholders.map((it) => it.value),
    unpack,
  }));
  const echoes = once(() => (tokens.length === 0 ? undefined : compileKnownSecrets(tokens)));
  let recorder: Recorder | undefined;
  return {
    config,
    proxy: config.upstreamProxy === undefined ? undefined : parseProxyAddress(config.upstreamProxy),
    get scanPolicy() {
      return scanPolicy();
    },
    get echoes() {
      return echoes();
    },
    secrets,
    leaves: once(() => openLeaves({ certificatePem: config.caCertificate, caKey, clock })),
    trust: once(() => createUpstreamContext(config.upstreamCa)),
    pool: new UpstreamPool(),
    recorder: ({ audit, log }) =>
      (recorder ??= createRecorder({
        audit,
        log,
        logLevel: config.logLevel,
        scanPolicy: scanPolicy(),
      })),
  };
}

/** Loads what was put off at the start, so that faults show and the first request does not wait. */
export async function warmState(state: EgressState): Promise<void> {
  void state.scanPolicy;
  void state.echoes;
  await state.leaves();
  state.trust();
}

/** Node's crypto module is a tenth of the start-up time, and nothing needs it before a tunnel is opened. */
async function openLeaves(options: LeafCacheOptions): Promise<LeafCache> {
  const { createLeafCache } = await import("./leaf-cache.ts");
  return createLeafCache(options);
}

function valuesOf(slots: readonly string[], secrets: Secrets): readonly NamedSecret[] {
  const distinct = [...new Set(slots)].filter((slot) => slot !== CA_KEY_SLOT);
  return distinct.map((name) => ({ name, value: secretOf(name, secrets).reveal() }));
}

function secretOf(slot: string, secrets: Secrets): Secret {
  const secret = secrets.get(slot);
  if (secret !== undefined) return secret;
  throw new ProtocolError("protocol.message", `egress needs the secret ${slot}: none was given`);
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
