/** What a child may know of our environment: it starts empty and gets names of these lists only. */
import { isAbsolute } from "node:path";

/** Host variables that may reach a terminal program in the guest; `*` stands for capital letters. */
export const TERMINAL_VARIABLES = ["TERM", "COLORTERM", "LANG", "LC_*", "TZ", "NO_COLOR"] as const;

/** What every helper program of ours gets beside PATH: one language, so that its messages can be parsed. */
export const HELPER_ENV = { LANG: "C.UTF-8" } as const;

const LOCALE_VARIABLE = /^LC_[A-Z]+$/;

function describesTerminal(name: string): boolean {
  return TERMINAL_VARIABLES.some((allowed) => allowed === name) || LOCALE_VARIABLE.test(name);
}

/** The variables of `env` that describe the terminal and the language. */
export function terminalEnv(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const entries = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && describesTerminal(entry[0]),
  );
  return Object.fromEntries(entries);
}

/** The whole environment of a helper program of ours; add to it what that one program needs. */
export function helperEnv(searchPath: string): Record<string, string> {
  return { PATH: searchDirectories(searchPath).join(":"), ...HELPER_ENV };
}

/**
 * The directories of a PATH in order. Empty and relative entries are left out: they mean the current directory, which may
 * be a hostile checkout.
 */
export function searchDirectories(searchPath: string): readonly string[] {
  return searchPath.split(":").filter((directory) => isAbsolute(directory));
}
