/**
 * Where an authority leads. The name is looked up once, every answer must be public, and exactly those addresses are
 * dialled; only an entry of `resolve` leads to another place, for its own name.
 */
import { systemCode } from "../../base/errors.ts";
import { type Authority, formatAuthority } from "../../policy/authority.ts";
import { ADDRESS_RULE, decideAddresses, deny, resolutionOf } from "../../policy/decide.ts";
import type { EgressPolicy } from "../../policy/egress.ts";
import type { Deny } from "../../policy/verdict.ts";

/** Looks a name up; all answers. */
export type Lookup = (name: string) => Promise<readonly string[]>;

/** Most addresses of one name that are tried. */
export const MAX_ADDRESSES = 4;

/** Addresses to dial, in order; behind an upstream proxy they are checked and the proxy gets the name. */
export interface Place {
  readonly kind: "place";
  readonly addresses: readonly string[];
  readonly port: number;
  /** True for an entry of `resolve`: the operator's own word, so it is dialled directly. */
  readonly isPinned: boolean;
}

/** A socket of ours that nothing may be sent to through us. */
export interface Listener {
  readonly address: string;
  readonly port: number;
}

export interface LocateOptions {
  readonly policy: EgressPolicy;
  readonly lookup: Lookup;
  /** With a proxy, a name that our own resolver does not know is the proxy's to resolve. */
  readonly hasProxy: boolean;
  readonly ownListeners: readonly Listener[];
}

/** Finds the addresses of an authority, or says why it leads nowhere. */
export async function locate(authority: Authority, options: LocateOptions): Promise<Place | Deny> {
  const { policy } = options;
  if (authority.kind !== "name") {
    const why = `${formatAuthority(authority)} is an address; name a host, and lead it there with egress.resolve`;
    return deny("address-forbidden", ADDRESS_RULE, why);
  }
  const pinned = resolutionOf(policy, authority);
  const answers = pinned === undefined ? await lookUp(authority, options) : [pinned.address];
  if (!Array.isArray(answers)) return answers;
  const forbidden = decideAddresses(policy, authority, answers);
  if (forbidden !== undefined) return forbidden;
  const addresses = answers.slice(0, MAX_ADDRESSES);
  const port = pinned?.port ?? authority.port;
  const isOurs = options.ownListeners.some(
    (it) => it.port === port && addresses.includes(it.address),
  );
  if (!isOurs) return { kind: "place", addresses, port, isPinned: pinned !== undefined };
  const why = `${formatAuthority(authority)} leads to a listener of the bundle itself; choose another address`;
  return deny("address-forbidden", "egress.resolve", why);
}

async function lookUp(authority: Authority, options: LocateOptions): Promise<string[] | Deny> {
  try {
    const answers = await options.lookup(authority.host);
    return answers.length > 0 || options.hasProxy
      ? [...answers]
      : unresolved(authority, "no address");
  } catch (error) {
    return options.hasProxy ? [] : unresolved(authority, systemCode(error) ?? "an error");
  }
}

function unresolved(authority: Authority, seen: string): Deny {
  const why = `${authority.host} cannot be looked up: ${seen}; check the name, or lead it somewhere with egress.resolve`;
  return deny("resolve-failed", "egress", why);
}

/** The system's resolver: hosts file and DNS, as the operator's machine is set up. */
export const systemLookup: Lookup = async (name) => {
  const dns = process.getBuiltinModule("node:dns");
  const answers = await dns.promises.lookup(name, { all: true, order: "verbatim" });
  return answers.map((it) => it.address);
};
