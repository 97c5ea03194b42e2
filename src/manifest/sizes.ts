/** Sizes in bytes as people write them: `4GiB`, `512MiB`, `1500000`. */
import { fault, ok, type Parsed } from "./parsed.ts";

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
  kB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  TB: 1000 ** 4,
};
const SIZE = /^(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]*)$/;
const EXPECTED = "a size such as 512MiB or 4GiB";

/** Parses a size; a bare number counts bytes. */
export function parseSize(value: string | number): Parsed<number> {
  const match = SIZE.exec(String(value).trim());
  if (match === null) return fault("is not a size", EXPECTED);
  const [, digits = "", unit = ""] = match;
  const factor = unit === "" ? 1 : UNITS[unit];
  if (factor === undefined) {
    const letter = unit.charAt(0).toUpperCase();
    const hint = /^[KMGT]/.test(letter) ? `write ${digits}${letter}iB` : undefined;
    return fault("has an unknown unit", `one of ${Object.keys(UNITS).join(", ")}`, hint);
  }
  const bytes = Math.round(Number(digits) * factor);
  if (bytes < 1 || !Number.isSafeInteger(bytes))
    return fault("is out of range", "a size from one byte up");
  return ok(bytes);
}
