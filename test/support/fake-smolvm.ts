// Puts the fake smolvm somewhere as a program of that name.
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Makes `directory`/smolvm and returns its path. `before` is a line of shell that comes before each command. */
export function makeFakeSmolvm(directory: string, before = ":"): string {
  mkdirSync(directory, { recursive: true });
  const program = join(directory, "smolvm");
  const source = join(import.meta.dirname, "../fixtures/programs/fake-smolvm.ts");
  writeFileSync(program, `#!/bin/sh\n${before}\nexec "${process.execPath}" "${source}" "$@"\n`);
  chmodSync(program, 0o755);
  return program;
}
