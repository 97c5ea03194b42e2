/** The parts of a multipart body (RFC 2046, 5.1), as far as a scanner needs them: it never decides what a server makes of them. */
import { HEX } from "./http1/bytes.ts";

const EQUALS = 0x3d;
/** Parts that are looked at. */
export const MAX_PARTS = 512;
/** Longest block of headers of a part. */
const MAX_PART_HEAD_BYTES: number = 8 * 1024;

/** One part. */
export interface Part {
  readonly contentType: string;
  /** With its transfer encoding undone. */
  readonly bytes: Buffer;
  /** It had a transfer encoding that hides what it says. */
  readonly isEncoded: boolean;
}

/** Splits a body; nothing where there is no boundary. */
export function partsOf(body: Buffer, contentType: string): readonly Part[] | "beyond-bounds" {
  const boundary = /;\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(contentType);
  const name = boundary?.[1] ?? boundary?.[2];
  if (name === undefined) return [];
  const mark = Buffer.from(`--${name}`, "latin1");
  const parts: Part[] = [];
  let start = body.indexOf(mark);
  while (start >= 0) {
    if (parts.length >= MAX_PARTS) return "beyond-bounds";
    const end = body.indexOf(mark, start + mark.length);
    parts.push(readPart(body.subarray(start + mark.length, end < 0 ? body.length : end)));
    start = end;
  }
  return parts;
}

function readPart(bytes: Buffer): Part {
  const end = endOfHead(bytes);
  const head = bytes.toString("latin1", 0, Math.min(end.at, MAX_PART_HEAD_BYTES));
  const raw = bytes.subarray(end.behind);
  const contentType = fieldOf(head, "content-type") ?? "";
  switch (fieldOf(head, "content-transfer-encoding")?.toLowerCase() ?? "") {
    case "base64":
      return { contentType, bytes: Buffer.from(raw.toString("latin1"), "base64"), isEncoded: true };
    case "quoted-printable":
      return { contentType, bytes: undoQuotedPrintable(raw), isEncoded: true };
    default:
      return { contentType, bytes: raw, isEncoded: false };
  }
}

function endOfHead(bytes: Buffer): { readonly at: number; readonly behind: number } {
  const ends = ["\r\n\r\n", "\n\n"].map((text) => ({ at: bytes.indexOf(text), size: text.length }));
  const [first] = ends.filter(({ at }) => at >= 0).toSorted((a, b) => a.at - b.at);
  return first === undefined
    ? { at: 0, behind: 0 }
    : { at: first.at, behind: first.at + first.size };
}

/** Value of a header of a part; lines may be folded. */
function fieldOf(head: string, name: string): string | undefined {
  const lines = head.replace(/\r?\n[ \t]+/g, " ").split(/\r?\n/);
  const line = lines.find((it) => it.toLowerCase().startsWith(`${name}:`));
  return line?.slice(name.length + 1).trim();
}

/** Byte by byte: bodies are long, and a call for each escape would hold everybody up. */
function undoQuotedPrintable(bytes: Buffer): Buffer {
  const text = Buffer.from(bytes.toString("latin1").replace(/=[ \t]*\r?\n/g, ""), "latin1");
  let size = 0;
  for (let at = 0; at < text.length; at += 1, size += 1) {
    const byte = text[at] ?? 0;
    const high = byte === EQUALS ? (HEX[text[at + 1] ?? 0] ?? -1) : -1;
    const low = high >= 0 ? (HEX[text[at + 2] ?? 0] ?? -1) : -1;
    text[size] = low >= 0 ? high * 16 + low : byte;
    if (low >= 0) at += 2;
  }
  return text.subarray(0, size);
}
