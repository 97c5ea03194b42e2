/** Short texts that end up in a git configuration or on the operator's terminal. */
import { fault, hasControl, ok, type Parsed } from "./parsed.ts";
import type { EnvEntry } from "./types.ts";

/** Parses a committer's name or e-mail address; empty means not given. */
export function parseUserText(text: string): Parsed<string> {
  const value = text.trim();
  if (value.length > 256 || hasControl(value) || /[<>]/.test(value)) {
    return fault("is not usable in a commit", "one line without < and >");
  }
  return ok(value);
}

const HOST_VARIABLE = /^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$/;

/** Parses a value of `env:`. */
export function parseEnvValue(text: string): Parsed<EnvEntry> {
  if (text.includes("\0")) return fault("holds a NUL byte", "one line of text");
  if (/[\r\n]/.test(text)) return fault("spans lines", "one line of text");
  if (text.startsWith("?")) {
    const message = text.slice(1).trim();
    return hasControl(message)
      ? fault("asks with a control character", "one line of text")
      : ok({ kind: "prompt", message });
  }
  const variable = HOST_VARIABLE.exec(text)?.[1];
  return ok(variable === undefined ? { kind: "literal", value: text } : { kind: "host", variable });
}
