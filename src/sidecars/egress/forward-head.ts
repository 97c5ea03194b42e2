/** The head of a request as it is sent on: canonical, without what belongs to the guest's connection, with the one credential. */
import { invariant } from "../../base/assert.ts";
import { formatHostHeader } from "../../policy/authority.ts";
import {
  renderCredential,
  setQueryCredential,
  withoutProtocolCredentials,
} from "../../policy/credentials.ts";
import type { Route } from "../../policy/egress.ts";
import type { HeaderList } from "../../policy/headers.ts";
import { formatTarget } from "../../policy/path.ts";
import type { OutgoingBody, Scanned } from "./context.ts";
import type { HeaderBlock } from "./header-block.ts";
import { endToEnd } from "./headers.ts";
import { lines } from "./http1/writer.ts";
import { type ForwardHead, type Framing, NO_BODY, STREAM_BODY } from "./message.ts";
import type { EgressState } from "./state.ts";
import { EXTENSIONS } from "./websocket/handshake.ts";

/** Makes the head that an upstream gets. */
export function forwardHead(asked: Scanned, state: EgressState): ForwardHead {
  const { method, scheme, authority, path, body } = asked;
  const { query, headers, lines } = injectCredential(asked, state);
  return {
    method,
    scheme,
    host: formatHostHeader(authority, scheme),
    target: formatTarget(path, query),
    headers,
    lines,
    framing: framingOf(body, method),
    isUpgrade: asked.isWebSocket,
    takesTrailers: asked.block.has("te") && asked.block.tokens("te").includes("trailers"),
  };
}

/** Headers as a list and as lines, and the query beside them. */
interface Outbound extends Kept {
  readonly query: string;
}

/** The one place where a real value enters a request. */
function injectCredential(asked: Scanned, state: EgressState): Outbound {
  const { inject, cleanQuery } = asked;
  const kept = keptHeaders(asked);
  const { headers, lines } = kept;
  if (inject === undefined || inject.kind === "json") return { query: cleanQuery, headers, lines };
  const value = state.secrets.get(inject.slot)?.reveal().trim();
  invariant(value !== undefined, "a planned slot has a value");
  if (inject.kind === "query") {
    return { query: setQueryCredential(cleanQuery, inject.name, value), headers, lines };
  }
  const credential = renderCredential(inject.carrier, value);
  invariant(credential !== undefined, "a credential was checked when the policy was taken");
  return {
    query: cleanQuery,
    headers: [...headers, [inject.name, credential]],
    lines: `${lines}${inject.name}: ${credential}\r\n`,
  };
}

/** An echo can only be masked in what can be read, and not when it comes in two parts of the guest's choice. */
const UNMASKABLE = ["accept-encoding", "range", "if-range"];

/** What goes on of the guest's headers. */
interface Kept {
  readonly headers: HeaderList;
  readonly lines: string;
}

/** By the headers that came: clients repeat them, and for one route the same is kept of them. */
const keptBy = new WeakMap<HeaderBlock, Kept & { readonly route: Route }>();

function keptHeaders(asked: Scanned): Kept {
  const { block, route, isWebSocket } = asked;
  const known = keptBy.get(block);
  if (known?.route === route && !isWebSocket) return known;
  const headers = keepHeaders(asked);
  const kept = { headers, lines: lines(headers), route };
  if (!isWebSocket) keptBy.set(block, kept);
  return kept;
}

function keepHeaders({ block, route, isWebSocket, dropHeaders }: Scanned): HeaderList {
  const dropped = isWebSocket ? [...dropHeaders, EXTENSIONS] : dropHeaders;
  if (route.auth === undefined) return endToEnd(block, dropped);
  const kept = endToEnd(block, [...dropped, ...UNMASKABLE]);
  return [...withoutProtocolCredentials(kept), ["Accept-Encoding", "identity"]];
}

const EMPTY: Framing = { kind: "length", length: 0 };

function framingOf(body: OutgoingBody, method: string): Framing {
  switch (body.kind) {
    case "none":
      return ["POST", "PUT", "PATCH"].includes(method) ? EMPTY : NO_BODY;
    case "whole":
      return { kind: "length", length: body.bytes.length };
    case "stream":
      return body.length === undefined ? STREAM_BODY : { kind: "length", length: body.length };
  }
}
