/** The one context that passes through the steps classify, authorize, scan, forward and record. Each step adds to it. */
import type { Logger } from "../../base/log.ts";
import type { Authority, Scheme } from "../../policy/authority.ts";
import type { Injection } from "../../policy/credentials.ts";
import type { StreamScanner } from "../../policy/dlp/stream.ts";
import type { Route } from "../../policy/egress.ts";
import type { HeaderList } from "../../policy/headers.ts";
import type { Deny } from "../../policy/verdict.ts";
import type { Ask, Audit } from "../descriptor.ts";
import type { BufferBudget } from "./body.ts";
import type { Budgets } from "./budget.ts";
import type { HeaderBlock } from "./header-block.ts";
import type { InForce } from "./in-force.ts";
import type { Listener, Lookup } from "./locate.ts";
import type { Framing, Incoming, Outgoing } from "./message.ts";
import type { EgressState } from "./state.ts";

/** What the steps may use besides the request. */
export interface Services {
  readonly audit: Audit;
  readonly log: Logger;
  readonly lookup: Lookup;
  readonly ownListeners: readonly Listener[];
  readonly buffers: BufferBudget;
  readonly budgets: Budgets;
  readonly ask: Ask;
  readonly inForce: InForce;
  /** Told that an upstream refused the value of a slot. */
  readonly onCredentialRefused: (slot: string) => void;
}

/** A request as it came in; `tunnel` is the authority of the CONNECT that it came through. */
export interface Arrival {
  readonly incoming: Incoming;
  readonly outgoing: Outgoing;
  readonly tunnel: Authority | undefined;
  /** The policy that the request is judged by; where a reload comes before it is sent, it is judged once more as a whole. */
  readonly state: EgressState;
}

/** After classify: what is asked, in canonical form. */
export interface Classified {
  readonly kind: "classified";
  readonly scheme: Scheme;
  readonly authority: Authority;
  readonly method: string;
  /** Normalised. */
  readonly path: string;
  readonly query: string;
  readonly headers: HeaderList;
  /** The same headers, for looking up. */
  readonly block: HeaderBlock;
  readonly framing: Framing;
  /** Asks to go on as a WebSocket. */
  readonly isWebSocket: boolean;
}

/** After authorize: by which rule, and what happens to credentials. */
export interface Authorized extends Omit<Classified, "kind"> {
  readonly kind: "authorized";
  readonly route: Route;
  /** Lower-case names. */
  readonly dropHeaders: readonly string[];
  /** The query without the credential fields that the guest sent. */
  readonly cleanQuery: string;
  readonly inject: Injection | undefined;
}

/** What is sent as body. */
export type OutgoingBody =
  | { readonly kind: "none" }
  /** Judged whole. */
  | { readonly kind: "whole"; readonly bytes: Buffer }
  /** Judged on its way; `first` was read already. Without a scanner nothing is searched for. */
  | {
      readonly kind: "stream";
      readonly first: readonly Buffer[];
      readonly length: number | undefined;
      readonly scanner: StreamScanner | undefined;
    };

/** After scan: what may leave, with found values masked where the route says so. */
export interface Scanned extends Omit<Authorized, "kind"> {
  readonly kind: "scanned";
  readonly body: OutgoingBody;
  /** Something was masked. */
  readonly isRedacted: boolean;
}

/** What a step gives: the next context, or why the request ends here. */
export type StepResult<Next> = Next | Deny;
