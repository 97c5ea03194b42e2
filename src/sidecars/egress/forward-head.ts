/** The head of a request as it is sent on: canonical, without what belongs to the guest's connection, with the one credential. */
import { invariant } from "../../base/assert.ts";
import { formatHostHeader } from "../../policy/authority.ts";
import { renderCredential, setQueryCredential } from "../../policy/credentials.ts";
import type { HeaderList } from "../../policy/headers.ts";
import { formatTarget } from "../../policy/path.ts";
import type { OutgoingBody, Scanned } from "./context.ts";
import { endToEnd } from "./headers.ts";
import { type ForwardHead, type Framing, NO_BODY, STREAM_BODY } from "./message.ts";
import type { EgressState } from "./state.ts";
import { EXTENSIONS } from "./websocket/handshake.ts";

/** Makes the head that an upstream gets. */
export function forwardHead(asked: Scanned, state: EgressState): ForwardHead {
  const { method, scheme, authority, path, body } = asked;
  const { query, headers } = injectCredential(asked, state);
  return {
    method,
    scheme,
    host: formatHostHeader(authority, scheme),
    target: formatTarget(path, query),
    headers,
    framing: framingOf(body, method),
    isUpgrade: asked.isWebSocket,
    takesTrailers: asked.block.has("te") && asked.block.tokens("te").includes("trailers"),
  };
}

/** The one place where a real value enters a request. */
function injectCredential(
  asked: Scanned,
  state: EgressState,
): { query: string; headers: HeaderList } {
  const { inject, cleanQuery } = asked;
  const headers = keptHeaders(asked);
  if (inject === undefined || inject.kind === "json") return { query: cleanQuery, headers };
  const value = state.secrets.get(inject.slot)?.reveal().trim();
  invariant(value !== undefined, "a planned slot has a value");
  if (inject.kind === "query") {
    return { query: setQueryCredential(cleanQuery, inject.name, value), headers };
  }
  const credential = renderCredential(inject.carrier, value);
  invariant(credential !== undefined, "a credential was checked when the policy was taken");
  return { query: cleanQuery, headers: [...headers, [inject.name, credential]] };
}

/** An echo can only be masked in what can be read, and not when it comes in two parts of the guest's choice. */
const UNMASKABLE = ["accept-encoding", "range", "if-range"];

function keptHeaders(asked: Scanned): HeaderList {
  const { block, route } = asked;
  const dropHeaders = asked.isWebSocket ? [...asked.dropHeaders, EXTENSIONS] : asked.dropHeaders;
  if (route.auth === undefined) return endToEnd(block, dropHeaders);
  const kept = endToEnd(block, [...dropHeaders, ...UNMASKABLE]);
  return [...kept, ["Accept-Encoding", "identity"]];
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
