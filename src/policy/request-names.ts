/** What names in requests may be: of headers, methods, query fields, users. Invariant: what passes here stands for itself in a message. */

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/;
/** Headers that frame or route a message; a rule or credential there would change which message is sent where. */
const FRAMING = new Set(
  "host connection content-length transfer-encoding te trailer upgrade keep-alive proxy-connection expect".split(
    " ",
  ),
);

/** Why a name is refused, as a clause that follows it, and what is expected in its place. */
export interface Refused {
  readonly seen: string;
  readonly expected: string;
}

/** Why a text is no header's name that a rule or a credential may have; undefined where it is one. */
export function refuseHeaderName(text: string): Refused | undefined {
  if (!TOKEN.test(text)) {
    return { seen: "is not a header's name", expected: "a name such as X-Api-Key" };
  }
  if (!FRAMING.has(text.toLowerCase())) return undefined;
  return { seen: "frames the message", expected: "another header" };
}

/** Why a text, in upper case or not, is no method that is forwarded; undefined where it is one. */
export function refuseMethod(text: string): Refused | undefined {
  if (!/^[A-Za-z][A-Za-z-]{0,31}$/.test(text)) {
    return { seen: "is not a method", expected: "a method such as GET" };
  }
  if (text.toUpperCase() !== "CONNECT") return undefined;
  return { seen: "is never forwarded", expected: "another method" };
}

/** Why a text is no user of basic authentication; undefined where it is one. */
export function refuseBasicUser(text: string): Refused | undefined {
  if (text.length <= 256 && /^[^:\p{Cc}]+$/u.test(text)) return undefined;
  return { seen: "is not a user", expected: "one line without a colon" };
}

/** Why a text is no query field's name; undefined where it is one. */
export function refuseQueryName(text: string): Refused | undefined {
  if (/^[A-Za-z0-9._~[\]-]{1,128}$/.test(text)) return undefined;
  return {
    seen: "is not a query field's name",
    expected: "a name of letters, digits, dots, hyphens or underscores",
  };
}
