/** Answers of probes, kept in the cache of the operator's home under a key that holds all they depend on. A lost one is asked again. */
import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type * as z from "zod/mini";
import { systemCode } from "../../base/errors.ts";
import type { HostPath } from "../../base/ids.ts";
import { parseJson } from "../../base/json.ts";
import { makeDirectory } from "../../base/make-directory.ts";

const DIRECTORY = "docker";
let writes = 0;

/** A question: everything that its answer depends on, and what an answer is. */
export interface Question<T> {
  readonly key: readonly string[];
  readonly schema: z.ZodMiniType<T>;
}

/** Reads a kept answer; undefined where there is none. */
export function known<T>(cacheDir: HostPath, { key, schema }: Question<T>): T | undefined {
  return readKept(join(cacheDir, DIRECTORY, fileOf(key)), schema);
}

/** Reads a kept answer, or asks and keeps it. Failures are not kept. */
export async function cached<T>(
  cacheDir: HostPath,
  question: Question<T>,
  ask: () => Promise<T>,
): Promise<T> {
  const kept = known(cacheDir, question);
  if (kept !== undefined) return kept;
  const directory = join(cacheDir, DIRECTORY);
  const name = fileOf(question.key);
  const answer = await ask();
  makeDirectory(directory);
  writes += 1;
  const temporary = join(directory, `.${name}.${process.pid}.${writes}`);
  writeFileSync(temporary, JSON.stringify(answer), { mode: 0o600 });
  renameSync(temporary, join(directory, name));
  return answer;
}

function fileOf(key: readonly string[]): string {
  return `${createHash("sha256").update(JSON.stringify(key)).digest("hex").slice(0, 32)}.json`;
}

function readKept<T>(file: string, schema: z.ZodMiniType<T>): T | undefined {
  try {
    return schema.safeParse(parseJson(readFileSync(file, "utf8"))).data;
  } catch (error) {
    if (!(error instanceof SyntaxError) && systemCode(error) === undefined) throw error;
    return undefined;
  }
}
