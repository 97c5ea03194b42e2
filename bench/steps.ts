// What one step of a search costs, on bodies that unfold: node bench/steps.ts
// Processor time of each step, which the load of the machine does not change as it does the loop's delay.
import { compileKnownSecrets } from "../src/policy/dlp/known-secrets.ts";
import { scanSteps } from "../src/policy/dlp/scan.ts";
import type { ScanPolicy } from "../src/policy/dlp/types.ts";

const SIZE: number = 1024 * 1024;
const policy: ScanPolicy = {
  detectors: [
    compileKnownSecrets([{ name: "CANARY", value: "canary-Zq81LmN0pQr5TuVwXyZaBcDe" }]).detector,
  ],
  placeholders: [],
};
const inner = Buffer.from("%41%2541 text and text").toString("base64");
const UNITS: Readonly<Record<string, string>> = {
  "plain text": "lorem ipsum dolor sit ",
  "letters of other scripts": "é Ωж文",
  base64: "aGVsbG8gd29ybGQsIHRoaXMgaXMgdGV4dC4g",
  "percent escapes": "%41%42%43",
  "numbered references": "&#38;#38;#65;",
  "variation selectors": "\u{e0100}\u{e0141}",
  "one run": "a",
  "short runs": `${"a".repeat(20)} `,
  "all mixed": `%25252541 \\\\\\\\u0041 &#38;#38;#38;#65; é ${inner} `,
};

/** Processor time of each step in milliseconds. */
function measure(bytes: Buffer): readonly number[] {
  const times: number[] = [];
  const steps = scanSteps({ surface: "body", bytes }, policy);
  for (let isDone = false; !isDone; ) {
    const before = process.threadCpuUsage();
    isDone = steps.next().done === true;
    const { user, system } = process.threadCpuUsage(before);
    times.push((user + system) / 1000);
  }
  return times;
}

console.log(
  "| 1 MiB of | steps | all, ms | 99.9th percentile, ms | longest, ms |\n|---|---|---|---|---|",
);
for (const [name, unit] of Object.entries(UNITS)) {
  const bytes = Buffer.alloc(SIZE, unit);
  measure(bytes);
  const times = measure(bytes).toSorted((a, b) => a - b);
  const all = times.reduce((sum, it) => sum + it, 0);
  const high = times[Math.floor(times.length * 0.999)] ?? 0;
  const row = [name, times.length, all.toFixed(0), high.toFixed(1), (times.at(-1) ?? 0).toFixed(1)];
  console.log(`| ${row.join(" | ")} |`);
}
