// Our egress daemon alone, as the bundle runs it: allowlist, injection, scan and audit on. argv: a JSON file with its
// configuration, secrets, door and audit file. Prints `ready`.
import { readFileSync } from "node:fs";
import * as z from "zod/mini";
import { systemClock } from "../../src/base/clock.ts";
import { parseJson } from "../../src/base/json.ts";
import { createLogger } from "../../src/base/log.ts";
import { Secret } from "../../src/base/secret.ts";
import { openAuditLog } from "../../src/protocol/audit-log.ts";
import { createEgress } from "../../src/sidecars/egress/daemon.ts";

const schema = z.object({
  config: z.unknown(),
  secrets: z.record(z.string(), z.string()),
  door: z.string(),
  audit: z.string(),
});
const given = schema.parse(parseJson(readFileSync(process.argv[2] ?? "", "utf8")));
const audit = openAuditLog(given.audit, { bottle: "bench", clock: systemClock });
const daemon = createEgress();
await daemon.start({
  config: daemon.parseConfig(given.config),
  secrets: new Map(Object.entries(given.secrets).map(([slot, it]) => [slot, new Secret(slot, it)])),
  door: given.door,
  audit,
  ask: { ask: () => Promise.resolve("refused") },
  log: createLogger((line) => process.stderr.write(line)),
  signal: new AbortController().signal,
});
console.log("ready");
process.stdin.on("end", () => process.exit(0)).resume();
