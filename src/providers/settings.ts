/** Reads `agent_provider.settings`: unknown keys and wrong types are refused, never ignored. Pure. */
import { ManifestError } from "../base/errors.ts";

export type Settings = Readonly<Record<string, unknown>>;

/** Throws ManifestError when the settings hold a key that the provider does not know. */
export function refuseUnknownSettings(
  provider: string,
  settings: Settings,
  known: readonly string[],
): void {
  const unknown = Object.keys(settings).filter((key) => !known.includes(key));
  if (unknown.length === 0) return;
  const expected = known.length === 0 ? "no settings are" : `${known.join(", ")} is`;
  throw settingsError(
    `${unknown.map((key) => `"${key}"`).join(", ")} is not a setting of provider ${provider}; ${expected} expected`,
  );
}

/** A non-empty one-line string, or undefined when the key is absent. Throws ManifestError. */
export function textSetting(settings: Settings, key: string): string | undefined {
  const value = settings[key];
  if (value === undefined) return undefined;
  if (typeof value === "string" && /^[^\0\r\n]+$/.test(value) && !value.startsWith("-"))
    return value;
  throw settingsError(
    `${key} is not a name; one line of text that does not begin with "-" is expected`,
  );
}

/** A truth value, false when the key is absent. Throws ManifestError. */
export function flagSetting(settings: Settings, key: string): boolean {
  const value = settings[key] ?? false;
  if (typeof value === "boolean") return value;
  throw settingsError(`${key} is not true or false`);
}

/** A non-empty list of strings whose first is not empty. Throws ManifestError. */
export function argvSetting(settings: Settings, key: string): readonly string[] {
  const value = settings[key];
  const isList = Array.isArray(value) && value.length > 0 && value[0] !== "";
  if (!isList || !value.every(isArgument)) {
    throw settingsError(
      `${key} is ${value === undefined ? "missing" : "not an argv"}; a non-empty list of strings is expected`,
      `write agent_provider: { template: command, settings: { ${key}: [sh, -c, "make test"] } }`,
    );
  }
  return value;
}

function isArgument(value: unknown): value is string {
  return typeof value === "string" && !value.includes("\0");
}

function settingsError(message: string, hint?: string): ManifestError {
  return new ManifestError(
    "manifest.invalid",
    `manifest invalid: agent_provider.settings: ${message}`,
    hint === undefined ? {} : { hint },
  );
}
