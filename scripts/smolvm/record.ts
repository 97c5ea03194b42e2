// Records what real releases of smolvm answer, for test/fixtures/smolvm: node scripts/smolvm/record.ts
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCases } from "../../test/support/smolvm-cases.ts";

const fixtures = join(import.meta.dirname, "../../test/fixtures/smolvm");
for (const version of ["1.32.2", "1.8.1"]) {
  const fetch = join(import.meta.dirname, "fetch.sh");
  const folder = execFileSync(fetch, [version], { encoding: "utf8" }).trim();
  const env = { SMOLVM_LIB_DIR: folder, LD_LIBRARY_PATH: folder };
  const answers = runCases([join(folder, "smol-vmm")], env);
  writeFileSync(join(fixtures, `answers-${version}.json`), `${JSON.stringify(answers, null, 2)}\n`);
}
