/** Unpacks a disk image that is zeros but for a few megabytes into a file with holes: it has a size of gigabytes. */
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";

/** Bytes that are compared with zeros at once, and that a hole has at least. */
const CHUNK = 1_048_576;
const ZEROS: Buffer = Buffer.alloc(CHUNK);

/** Unpacks `from` (zstd) to `to`, which is made or emptied. */
export async function unpackSparse(from: string, to: string): Promise<void> {
  const file = await open(to, "w", 0o644);
  try {
    await pipeline(
      createReadStream(from),
      createZstdDecompress({ chunkSize: CHUNK }),
      async (chunks: AsyncIterable<Buffer>) => {
        let at = 0;
        for await (const chunk of chunks) at = await writeUnlessZero(file, chunk, at);
        await file.truncate(at);
      },
    );
  } finally {
    await file.close();
  }
}

async function writeUnlessZero(file: FileHandle, chunk: Buffer, at: number): Promise<number> {
  for (let from = 0; from < chunk.length; from += CHUNK) {
    const part = chunk.subarray(from, from + CHUNK);
    if (ZEROS.compare(part, 0, part.length, 0, part.length) !== 0)
      await file.write(part, 0, part.length, at + from);
  }
  return at + chunk.length;
}
