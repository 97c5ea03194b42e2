/** Writes a build context as a tar stream (POSIX ustar, with pax records for what does not fit). Times and owners are left out. */
import type { ContextEntry } from "./contract.ts";

const BLOCK = 512;
/** Largest size that the eleven octal digits of a header hold. */
const MAX_OCTAL_SIZE = 0o77777777777;
const TYPES = { file: "0", link: "2", directory: "5", pax: "x" } as const;

/** The archive of the entries; `contentOf` must give exactly the size that the entry says. */
export async function* encodeTar(
  entries: readonly ContextEntry[],
  contentOf: (entry: Extract<ContextEntry, { kind: "file" }>) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const entry of entries) {
    yield* heading(entry);
    if (entry.kind !== "file") continue;
    yield* contentOf(entry);
    yield padding(entry.size);
  }
  yield Buffer.alloc(2 * BLOCK);
}

/** The entry's header, after one with pax records where names or size do not fit. */
function* heading(entry: ContextEntry): Generator<Uint8Array> {
  const path = entry.kind === "directory" ? `${entry.path}/` : entry.path;
  const target = entry.kind === "link" ? entry.target : "";
  const size = entry.kind === "file" ? entry.size : 0;
  const records = [
    ...(fits(path) ? [] : [paxRecord("path", path)]),
    ...(fits(target) ? [] : [paxRecord("linkpath", target)]),
    ...(size <= MAX_OCTAL_SIZE ? [] : [paxRecord("size", String(size))]),
  ];
  if (records.length > 0) {
    const body = Buffer.concat(records);
    yield header({ path: "pax", target: "", type: "pax", mode: 0o644, size: body.length });
    yield body;
    yield padding(body.length);
  }
  const mode = entry.kind === "link" ? 0o777 : entry.mode;
  yield header({
    path: fits(path) ? path : "pax",
    target: fits(target) ? target : "pax",
    type: entry.kind,
    mode,
    size: Math.min(size, MAX_OCTAL_SIZE),
  });
}

/** A name that a header holds as it is: short and of one byte a character. */
function fits(name: string): boolean {
  return name.length <= 100 && /^[\x20-\x7e]*$/.test(name);
}

/** `LENGTH key=value\n`, whose length counts its own digits. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length)
    length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

interface Header {
  readonly path: string;
  readonly target: string;
  readonly type: keyof typeof TYPES;
  readonly mode: number;
  readonly size: number;
}

/** Offsets are those of POSIX ustar; owner 0 and time 0, so that the same context is the same archive. */
function header({ path, target, type, mode, size }: Header): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(path, 0, 100, "latin1");
  block.write(octal(mode, 7), 100, "latin1");
  block.write(octal(0, 7), 108, "latin1");
  block.write(octal(0, 7), 116, "latin1");
  block.write(octal(size, 11), 124, "latin1");
  block.write(octal(0, 11), 136, "latin1");
  // The checksum counts itself as spaces.
  block.write("        ", 148, "latin1");
  block.write(TYPES[type], 156, "latin1");
  block.write(target, 157, 100, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, "latin1");
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}

function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}
