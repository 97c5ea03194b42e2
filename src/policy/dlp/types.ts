/** The language of detection: what is looked at, what was found, and what a detector is. No type here holds a secret's value. */
import type { Packed } from "./packed.ts";
import type { Steps } from "./steps.ts";

/** Where bytes were taken from. */
export type Surface = "url" | "header" | "body" | "host";

/** In what other words a body was read: a part by itself, fields of a form, strings of JSON, what was packed. */
export type ViewForm = "part" | "form" | "json" | "packed";

/** One piece of what leaves, as the guest sent it. */
export interface View {
  readonly surface: Surface;
  readonly bytes: Buffer;
  /** Where these are not the bytes that were sent, what they are. */
  readonly form?: ViewForm;
}

/** What was found; offset and length are those of the covering bytes in the view. */
export interface Finding {
  readonly kind: "secret";
  /** Name of the detector, such as `known-secrets`. */
  readonly detector: string;
  /** Name of the secret or of the pattern; never its value. */
  readonly secret: string;
  /** How it was hidden, such as `plain` or `percent+base64`. */
  readonly encoding: string;
  readonly surface: Surface;
  readonly offset: number;
  readonly length: number;
  /** It stands in packed data, where nothing can be masked. */
  readonly isPacked?: boolean;
}

/** Says that a view may hide something: looking further would cost more than is allowed. It cannot be masked, only refused. */
export interface Unjudged {
  readonly kind: "unjudged";
  readonly detector: string;
  readonly surface: Surface;
}

/** What a detector found, and whether it could look at everything. */
export interface Detection {
  readonly findings: readonly Finding[];
  readonly isComplete: boolean;
  /** What it came upon that may be packed. */
  readonly packed?: readonly Packed[];
}

/** Formats that hold one packed stream. */
export type PackedFormat = "gzip" | "zlib" | "zstd";

/** What was in packed data, and where that ends; `beyond-bounds` where it is more than is looked at, undefined where nothing was packed. */
export type Unpacked =
  | { readonly bytes: Buffer; readonly end: number }
  | "beyond-bounds"
  | undefined;

/** Finds one kind of thing. `anchored` detectors are on by default for egress, `generic` ones for git-gate. */
export interface Detector {
  readonly name: string;
  readonly tier: "anchored" | "generic";
  /** Longest literal in bytes: what a stream must hold back so that no match leaves in part. */
  readonly longest: number;
  /** Forms of a body that it finds its way through itself; it need not be shown them apart. */
  readonly undoes?: readonly ViewForm[];
  /** Findings of a view; the search ends at `limit` of them. */
  find(view: View, limit: number): Steps<Detection>;
}

/** What a scan looks for, and the texts that are known to be harmless. */
export interface ScanPolicy {
  readonly detectors: readonly Detector[];
  /** Placeholders of this bottle: a finding inside one is dropped. */
  readonly placeholders: readonly string[];
  /** Undoes packed data; without it nothing is unpacked. */
  readonly unpack?: ((packed: Packed) => Promise<Unpacked>) | undefined;
}

/** Makes a view of text. */
export function textView(surface: Surface, text: string): View {
  return { surface, bytes: Buffer.from(text, "utf8") };
}
