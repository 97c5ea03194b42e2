// Puts the fake smolvm somewhere as a program of that name.
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Makes `directory`/smolvm and returns its path. */
export function makeFakeSmolvm(directory: string): string {
  mkdirSync(directory, { recursive: true });
  const program = join(directory, "smolvm");
  const source = join(import.meta.dirname, "../fixtures/programs/fake-smolvm.ts");
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${source}" "$@"\n`);
  chmodSync(program, 0o755);
  return program;
}
