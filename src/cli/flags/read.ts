/** Typed reads of parsed flags. */
import type { ParsedArgs } from "../command.ts";

type Flags = ParsedArgs["flags"];

/** True when a switch was given. */
export function isSet(flags: Flags, name: string): boolean {
  return flags[name] === true;
}

/** A flag's text, or undefined. */
export function flagText(flags: Flags, name: string): string | undefined {
  const value = flags[name];
  return typeof value === "string" ? value : undefined;
}

/** All values of a repeatable flag. */
export function flagList(flags: Flags, name: string): readonly string[] {
  const value = flags[name];
  return Array.isArray(value) ? value.map(String) : [];
}
