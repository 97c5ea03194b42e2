/** Puts the real value into a JSON body, for routes whose credential travels there. The body was judged before. */
import { invariant } from "../../base/assert.ts";
import type { Secrets } from "../../base/secret.ts";
import { setJsonCredential } from "../../policy/json-credential.ts";
import type { Scanned } from "./context.ts";

/** The same request with the credential in its body; itself where the credential goes elsewhere. */
export function injectBody(asked: Scanned, secrets: Secrets): Scanned {
  const { inject, body } = asked;
  if (inject?.kind !== "json") return asked;
  const value = secrets.get(inject.slot)?.reveal().trim();
  invariant(value !== undefined && body.kind === "whole", "a planned slot has a value and a body");
  const bytes = setJsonCredential(body.bytes, inject.pointer, value);
  invariant(bytes !== undefined, "a body was judged before a credential is put into it");
  return { ...asked, body: { kind: "whole", bytes } };
}
