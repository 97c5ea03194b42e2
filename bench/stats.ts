// Medians, ratios pair by pair, and Markdown tables of them.
import type { Measured } from "./harness.ts";

/** The middle value; the higher of the two in the middle. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** The value below which a part of all values lies, as `0.9`. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** `median [min–max]`. */
export function cell(values: readonly number[], digits = 0): string {
  const show = (value: number): string => value.toFixed(digits);
  return `${show(median(values))} [${show(Math.min(...values))}–${show(Math.max(...values))}]`;
}

/** Ratio of the wall times of two programs, round by round. */
export function ratios(of: Measured, to: Measured): readonly number[] {
  return of.samples.map((sample, round) => sample.wall / (to.samples[round]?.wall ?? Number.NaN));
}

/** A Markdown table. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line), ""].join("\n");
}

/** One row for each program: wall time, processor time, ratio to the one named. */
export function comparison(all: readonly Measured[], base: Measured): string {
  const rows = all.map((one) => [
    one.name,
    cell(one.samples.map(({ wall }) => wall)),
    cell(one.samples.map(({ cpu }) => cpu)),
    one === base ? "1" : cell(ratios(one, base), 2),
  ]);
  return table(["program", "wall ms", "processor ms", `wall ÷ ${base.name}`], rows);
}

/** Says whether a goal is met, from the median. */
export function goal(what: string, value: number, limit: number, unit = ""): string {
  const verdict = value <= limit ? "met" : "**missed**";
  return `Goal: ${what} ≤ ${limit}${unit}: ${value.toFixed(2)}${unit}, ${verdict}.\n`;
}
