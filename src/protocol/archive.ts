/**
 * A file tree as one byte stream, as copies between owner and guest carry it. Each entry is
 *
 *   4 bytes length (big-endian) │ that many bytes of JSON (TreeEntry) │ for a file exactly `size` bytes
 *
 * and a length of 0 ends the archive. The bytes may be hostile: an entry is checked before it is passed on, at most one is kept.
 */
import { ProtocolError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { MAX_PATH_LENGTH, type TreeEntry, type TreeItem, treeSegments } from "../base/tree.ts";

/** Longest JSON of one entry: path and link target with every character escaped. */
const MAX_ENTRY_BYTES = 64 * 1024;
const MAX_MODE = 0o7777;
const LENGTH_BYTES = 4;

/** Encodes items in order. Rejects when a file's content is not exactly its size. */
export async function* encodeArchive(
  items: AsyncIterable<TreeItem> | Iterable<TreeItem>,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { entry, content } of items) {
    yield encodeEntry(entry);
    if (entry.type !== "file") continue;
    let rest = entry.size;
    for await (const chunk of content ?? []) {
      rest -= chunk.length;
      if (rest < 0) break;
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    }
    if (rest !== 0)
      throw new ProtocolError(
        "protocol.message",
        `copy failed: a file's content is not its ${entry.size} bytes`,
      );
  }
  yield Buffer.alloc(LENGTH_BYTES);
}

function encodeEntry(entry: TreeEntry): Buffer {
  const json = Buffer.from(JSON.stringify(entry));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json]);
}

/** Decodes an archive. Throws {@link ProtocolError} when it is malformed or ends early; skips content that was not read. */
export async function* decodeArchive(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<TreeItem, void, undefined> {
  const bytes = new ByteReader(source);
  try {
    for (;;) {
      const length = (await bytes.exactly(LENGTH_BYTES)).readUInt32BE();
      if (length === 0) break;
      if (length > MAX_ENTRY_BYTES)
        throw malformed(`an entry of ${length} bytes; at most ${MAX_ENTRY_BYTES} are allowed`);
      const entry = decodeEntry(await bytes.exactly(length));
      if (entry.type !== "file") {
        yield { entry, content: undefined };
        continue;
      }
      const content = bytes.part(entry.size);
      yield { entry, content };
      for await (const _ of content) continue;
    }
    if (!(await bytes.isAtEnd())) throw malformed("bytes after its end");
  } finally {
    await bytes.close();
  }
}

function decodeEntry(json: Buffer): TreeEntry {
  let value: unknown;
  try {
    value = parseJson(json.toString("utf8"));
  } catch (cause) {
    throw malformed("an entry that is not JSON", cause);
  }
  const entry = parseEntry(value);
  if (entry === undefined) throw malformed("an entry that does not follow its schema");
  try {
    treeSegments(entry.path);
  } catch (cause) {
    throw malformed("an entry whose path leaves its root", cause);
  }
  return entry;
}

/** Written by hand because guest-init must start fast and this is all it would need a schema library for. */
function parseEntry(value: unknown): TreeEntry | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const fields = new Map<string, unknown>(Object.entries(value));
  const path = fields.get("path");
  if (fields.get("kind") !== "entry" || !isPath(path)) return undefined;
  return fields.get("type") === "symlink" ? parseLink(path, fields) : parseNode(path, fields);
}

function parseLink(path: string, fields: ReadonlyMap<string, unknown>): TreeEntry | undefined {
  const target = fields.get("target");
  if (!isPath(target) || target === "") return undefined;
  return { kind: "entry", type: "symlink", path, target };
}

function parseNode(path: string, fields: ReadonlyMap<string, unknown>): TreeEntry | undefined {
  const [type, mode, size] = ["type", "mode", "size"].map((it) => fields.get(it));
  if (!isCount(mode) || mode > MAX_MODE) return undefined;
  if (type === "directory") return { kind: "entry", type, path, mode };
  return type === "file" && isCount(size) ? { kind: "entry", type, path, mode, size } : undefined;
}

function isPath(value: unknown): value is string {
  return typeof value === "string" && value.length <= MAX_PATH_LENGTH && !value.includes("\0");
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function malformed(what: string, cause?: unknown): ProtocolError {
  return new ProtocolError("protocol.message", `copy failed: the archive has ${what}`, { cause });
}

/** Reads a stream of chunks by size. */
class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  async exactly(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const part of this.part(count)) parts.push(part);
    return Buffer.concat(parts);
  }

  /** The next `count` bytes, in pieces. An iterator that was left early goes on where it stopped. */
  part(count: number): AsyncIterable<Buffer> {
    let rest = count;
    const next = async (): Promise<IteratorResult<Buffer, undefined>> => {
      if (rest === 0) return { done: true, value: undefined };
      const piece = await this.#take(rest);
      rest -= piece.length;
      return { done: false, value: piece };
    };
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      if (!(await this.#fill())) return true;
    }
    return false;
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #take(most: number): Promise<Buffer> {
    if (await this.isAtEnd()) throw malformed("no end: it stops in the middle");
    const piece = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  async #fill(): Promise<boolean> {
    const next = await this.#chunks.next();
    if (next.done === true) return false;
    const { buffer, byteOffset, length } = next.value;
    this.#rest = Buffer.from(buffer, byteOffset, length);
    return true;
  }
}
