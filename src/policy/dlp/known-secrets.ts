/**
 * Detector of known secret values: every literal spelling in the input and in every layer decoded from it. Invariant: where a
 * bound on depth or bytes ends the search early, it says so. Values live in the compiled literals only and never show in findings.
 */
import {
  escapeLayers,
  hasEscapes,
  projectLiteral,
  projectShort,
  textLayer,
  withProjection,
} from "./decode.ts";
import { hasRuns, runLayers } from "./decode-runs.ts";
import type { Layer, Range } from "./layer.ts";
import {
  createLiteralMatcher,
  type Literal,
  type LiteralMatcher,
  MIN_LITERAL_BYTES,
} from "./literal-matcher.ts";
import { BEHIND_DELIMITERS, BEHIND_PIECES, findPacked, findZlib, type Packed } from "./packed.ts";
import { STEP_BYTES, type Steps } from "./steps.ts";
import type { Detection, Detector, Finding, View } from "./types.ts";
import { variantsOf } from "./variants.ts";

/** A secret by name and value. */
export interface NamedSecret {
  readonly name: string;
  readonly value: string;
}

/** Compiled secrets. */
export interface KnownSecrets {
  readonly detector: Detector;
  /** Finds literal spellings only: what streams and response masking use. */
  readonly literals: LiteralMatcher;
  /** Longest spelling in bytes; a stream holds back one byte less. */
  readonly longestVariant: number;
  /** Names of values that are too short to be searched for. */
  readonly unscanned: readonly string[];
}

/** Shorter values would be found everywhere; they are reported as not scanned. */
export const MIN_SECRET_LENGTH = 8;
/** Encodings inside encodings that are undone: JSON in JSON in a form, as conversations nest it, takes up to nine. */
export const MAX_DECODE_DEPTH = 12;
/** Decoded bytes per input byte: a conversation takes up to ten, the whole costs about two seconds per MiB. */
export const MAX_DECODE_FACTOR = 40;
/** Decoded bytes that even a small input may cost. */
const MIN_DECODE_BYTES = 8_388_608;
/** What a layer costs besides its bytes. */
const LAYER_COST = 64;

/** Least bytes around an escape that are decoded with it. */
const MIN_MARGIN = 256;

const NAME = "known-secrets";

interface Hit {
  readonly secret: string;
  readonly encoding: string;
  readonly start: number;
  readonly end: number;
}

interface Search {
  readonly literals: LiteralMatcher;
  readonly projected: LiteralMatcher;
  readonly limit: number;
  readonly hits: Hit[];
  readonly packed: Packed[];
  /** Layers without a hit, by length: other orders of decoding lead to the same bytes again. */
  readonly clean: Map<number, Buffer[]>;
  /** Bytes that may still be decoded. */
  budget: number;
  /** Bytes that were searched since the last step: many short layers are long work, too. */
  unsettled: number;
  /** False when something could be decoded further than the bounds allow. */
  isComplete: boolean;
}

/** Compiles secrets; surrounding white space of a value is not part of it. */
export function compileKnownSecrets(secrets: readonly NamedSecret[]): KnownSecrets {
  const trimmed = secrets.map(({ name, value }) => ({ name, value: value.trim() }));
  const isScanned = (it: NamedSecret): boolean => it.value.length >= MIN_SECRET_LENGTH;
  const literals = trimmed.filter(isScanned).flatMap(literalsOf);
  const matcher = createLiteralMatcher(literals);
  const projected = createLiteralMatcher(
    literals.map((it) => ({ ...it, bytes: projectLiteral(it.bytes) })),
  );
  function* find(view: View, limit: number): Steps<Detection> {
    const budget = Math.max(MIN_DECODE_BYTES, view.bytes.length * MAX_DECODE_FACTOR);
    const results = { hits: [], packed: [], clean: new Map(), unsettled: 0, isComplete: true };
    const search: Search = { literals: matcher, projected, limit, budget, ...results };
    if (matcher.longest > 0) yield* searchLayer(search, view.bytes, [], 0);
    const findings = search.hits.map((hit) => toFinding(hit, view));
    return { findings, isComplete: search.isComplete, packed: search.packed };
  }
  return {
    detector: {
      name: NAME,
      tier: "anchored",
      longest: matcher.longest,
      undoes: ["form", "json"],
      find,
    },
    literals: matcher,
    longestVariant: matcher.longest,
    unscanned: trimmed.filter((it) => !isScanned(it)).map((it) => it.name),
  };
}

function literalsOf({ name, value }: NamedSecret): Literal[] {
  return variantsOf(value).map((variant) => ({ secret: name, ...variant }));
}

function toFinding(hit: Hit, view: View): Finding {
  const { secret, encoding, start, end } = hit;
  return {
    kind: "secret",
    detector: NAME,
    secret,
    encoding,
    surface: view.surface,
    offset: start,
    length: end - start,
  };
}

/** Layers passed on the way to some bytes, outermost first. */
type Path = readonly Layer[];

/** Bytes of short layers that are searched in one step; each is gone over several times. */
const STEP_LAYER_BYTES = 4096;

/** Searches a layer for literals, then what it may hide. */
function* searchLayer(search: Search, bytes: Buffer, path: Path, depth: number): Steps<void> {
  if (bytes.length < MIN_LITERAL_BYTES || search.hits.length >= search.limit) return;
  search.unsettled += bytes.length + LAYER_COST;
  if (search.unsettled > STEP_LAYER_BYTES) {
    search.unsettled = 0;
    yield;
  }
  // Most texts are short and clean, and what one step can tell of them needs no steps.
  const isShort = bytes.length <= STEP_BYTES;
  if (!isShort || holdsAny(search.literals, bytes)) {
    yield* searchLiterals(search, search.literals, bytes, path);
  }
  notePacked(search, bytes);
  if (!isShort || holdsAny(search.projected, projectShort(bytes))) {
    yield* withProjection(bytes, (layer) =>
      searchLiterals(search, search.projected, layer.bytes, [...path, layer]),
    );
  }
  if (!isShort || hasRuns(bytes) || hasEscapes(bytes)) {
    yield* searchInner(search, bytes, path, depth);
  }
}

function holdsAny(matcher: LiteralMatcher, bytes: Buffer): boolean {
  let isFound = false;
  matcher.find(bytes, () => {
    isFound = true;
    return false;
  });
  return isFound;
}

/** Goes on with what bytes may hide. */
function* searchInner(search: Search, bytes: Buffer, path: Path, depth: number): Steps<void> {
  const margin = Math.max(MIN_MARGIN, search.literals.longest);
  for (const layer of yield* runLayers(bytes)) yield* searchRuns(search, layer, path, depth + 1);
  for (const layer of yield* escapeLayers(bytes, margin)) {
    noteZlib(search, layer.bytes, BEHIND_DELIMITERS);
    yield* descend(search, layer, path, depth + 1);
  }
}

function* descend(search: Search, layer: Layer, path: Path, depth: number): Steps<void> {
  const { bytes } = layer;
  const known = search.clean.get(bytes.length) ?? [];
  if (known.some((it) => it.equals(bytes))) return;
  const cost = bytes.length + LAYER_COST;
  if (depth > MAX_DECODE_DEPTH || cost > search.budget) {
    search.isComplete = false;
    return;
  }
  search.budget -= cost;
  const before = search.hits.length;
  yield* searchLayer(search, bytes, [...path, layer], depth);
  // Where something was found the same bytes are searched again, because they may stand at another place.
  if (search.hits.length === before) search.clean.set(bytes.length, [...known, bytes]);
}

/** Most of what runs decode to is noise: literals are looked for in all of it, more only where it reads as text. */
function* searchRuns(search: Search, layer: Layer, path: Path, depth: number): Steps<void> {
  yield* searchLiterals(search, search.literals, layer.bytes, [...path, layer]);
  notePacked(search, layer.bytes);
  noteZlib(search, layer.bytes, BEHIND_PIECES);
  const text = yield* textLayer(layer.bytes);
  if (text !== undefined) yield* descend(search, text, [...path, layer], depth);
}

/** Places that may be packed and are looked at: each may cost a turn of the platform's threads. */
export const MAX_PACKED = 256;

function notePacked(search: Search, bytes: Buffer): void {
  addPacked(search, findPacked(bytes, roomFor(search) + 1));
}

function noteZlib(search: Search, bytes: Buffer, before: ReadonlySet<number>): void {
  addPacked(search, findZlib(bytes, roomFor(search) + 1, before));
}

const roomFor = ({ packed }: Search): number => MAX_PACKED - packed.length;

function addPacked(search: Search, found: readonly Packed[]): void {
  if (found.length > roomFor(search)) search.isComplete = false;
  else search.packed.push(...found);
}

function* searchLiterals(
  search: Search,
  matcher: LiteralMatcher,
  bytes: Buffer,
  path: Path,
): Steps<void> {
  for (const match of matcher.search(bytes)) {
    if (match === undefined) yield;
    else yield* addHit(search, match.literal, path, match);
    if (search.hits.length >= search.limit) return;
  }
}

function* addHit(search: Search, literal: Literal, path: Path, { start, end }: Range): Steps<void> {
  let range: Range = { start, end };
  for (const layer of path.toReversed()) {
    const located = layer.locate(range);
    range = "next" in located ? yield* located : located;
  }
  const { secret } = literal;
  const isKnown = search.hits.some(
    (hit) => hit.secret === secret && hit.start <= range.start && hit.end >= range.end,
  );
  if (isKnown) return;
  const names = [...path.map((layer) => layer.encoding), literal.encoding];
  const encoding = names.filter((name) => name !== "").join("+");
  search.hits.push({ secret, encoding, ...range });
}
