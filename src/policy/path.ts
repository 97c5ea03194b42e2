/**
 * The one normal form of a request target. What two servers could read differently is refused, but for an escaped slash, of
 * which both readings are given; the normal form is what is matched and forwarded, and normalising it again changes nothing.
 */
/** Outcome; `query` is without its question mark and empty when there is none. */
export type NormalisedPath =
  | { readonly ok: true; readonly path: string; readonly query: string }
  | { readonly ok: false; readonly reason: string };

/** Longest request target: what common servers take in one header line. */
export const MAX_TARGET_LENGTH = 16_384;

// RFC 3986 pchar without percent, and the slash.
const PLAIN = /[A-Za-z0-9\-._~!$&'()*+,;=:@/]/;
const UNRESERVED = /[A-Za-z0-9\-._~]/;
/** Segments of unreserved characters that begin with none of dots: nothing in them could be read in two ways. */
const SIMPLE = /^(?:\/[A-Za-z0-9\-_~][A-Za-z0-9\-._~]*)+\/?$/;

const refuse = (reason: string): NormalisedPath => ({ ok: false, reason });

/** Normalises an origin-form target (`/path?query`). */
export function normalisePath(raw: string): NormalisedPath {
  if (raw.length > MAX_TARGET_LENGTH) return refuse("the target is too long");
  if (!raw.startsWith("/")) return refuse("the path does not begin with a slash");
  if (!/^[\x21-\x7e]*$/.test(raw))
    return refuse("the target holds a control, blank or non-ASCII byte");
  if (raw.includes("#")) return refuse("the target holds a fragment");
  const mark = raw.indexOf("?");
  const rawPath = mark < 0 ? raw : raw.slice(0, mark);
  const query = mark < 0 ? "" : raw.slice(mark + 1);
  if (SIMPLE.test(rawPath)) return { ok: true, path: rawPath, query };
  if (rawPath.includes("\\")) return refuse("the path holds a backslash");
  const path = canonicalEscapes(rawPath);
  if (path === undefined) return refuse("the path holds a percent escape that is ambiguous");
  const segments = readingsOf(path).map(refuseSegments);
  const reason = segments.find((it) => it !== undefined) ?? refuseUnicode(path);
  return reason === undefined ? { ok: true, path, query } : refuse(reason);
}

/** Decodes unreserved bytes, writes other escapes in upper case and escapes what is not a path character. */
function canonicalEscapes(raw: string): string | undefined {
  if (/^[A-Za-z0-9\-._~/]*$/.test(raw)) return raw;
  if (/%(?![0-9a-f]{2})/i.test(raw)) return undefined;
  let isAmbiguous = false;
  const path = raw.replace(/%[0-9a-f]{2}|[^%]/gi, (part) => {
    if (part.length === 1) return PLAIN.test(part) ? part : encodeURIComponent(part);
    const code = Number.parseInt(part.slice(1), 16);
    const character = String.fromCharCode(code);
    if (code < 0x21 && code !== 0x20) isAmbiguous = true;
    if (code === 0x7f || character === "\\") isAmbiguous = true;
    return UNRESERVED.test(character) ? character : part.toUpperCase();
  });
  // An escaped percent sign before two hex digits would become another escape one decoding later.
  return isAmbiguous || /%25[0-9a-f]{2}/i.test(path) ? undefined : path;
}

function refuseSegments(path: string): string | undefined {
  const segments = path.slice(1).split("/");
  if (segments.slice(0, -1).includes("")) return "the path holds an empty segment";
  // Some servers cut parameters (`..;x`) off a segment before they resolve it.
  const isDots = (segment: string): boolean => /^\.{1,2}(?:;|%3B|$)/.test(segment);
  return segments.some(isDots) ? "the path holds a dot segment" : undefined;
}

/** Refuses overlong or broken UTF-8, and characters that compatibility normalisation turns into dots or slashes. */
function refuseUnicode(path: string): string | undefined {
  if (!/%[89A-F]/.test(path)) return undefined;
  let text: string;
  try {
    text = decodeURIComponent(path.replaceAll("%25", ""));
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return "the path is not valid UTF-8";
  }
  const folded = text.normalize("NFKC");
  const count = (of: string): number => of.split(/[/\\]/).length;
  if (count(folded) !== count(text)) return "the path holds a look-alike of a slash";
  return folded.split("/").some((it) => /^\.{1,2}(?:;|$)/.test(it))
    ? "the path holds a look-alike of a dot segment"
    : undefined;
}

/** What servers may take a normalised path for: itself, and the path in which an escaped slash is a slash. */
export function readingsOf(path: string): readonly string[] {
  return path.includes("%2F") ? [path, withSlashes(path)] : [path];
}

/** A text with its escaped slashes as slashes. */
export function withSlashes(text: string): string {
  return text.replace(/%2F/gi, "/");
}

/** Prints the target that is forwarded. */
export function formatTarget(path: string, query: string): string {
  return query === "" ? path : `${path}?${query}`;
}
