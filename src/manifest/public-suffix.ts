/** The public suffix list, for wildcards only: below `github.io` or `co.uk` every name belongs to someone else. */
import { getPublicSuffix } from "tldts";
import type { Issue } from "../base/errors.ts";
import type { RouteSpec } from "./types.ts";

const OPTIONS = { allowPrivateDomains: true, extractHostname: false, validateHostname: false };

/** Tells whether names directly below a host can be registered by strangers. */
export function isOpenToStrangers(host: string): boolean {
  // The list also has suffixes of any name, such as *.compute.example: below those the names themselves are suffixes.
  const below = `any.${host}`;
  return getPublicSuffix(host, OPTIONS) === host || getPublicSuffix(below, OPTIONS) === below;
}

/** Faults of routes whose wildcard stands below a public suffix. */
export function suffixIssues(routes: readonly RouteSpec[]): readonly Issue[] {
  return routes.flatMap(({ host, from }) => {
    if (!host.startsWith("*.") || !isOpenToStrangers(host.slice(2))) return [];
    const { file, line, column } = from;
    const message = `route "${host}" would allow hosts of strangers: ${host.slice(2)} is a public suffix; a name below it is expected`;
    return [{ file, line, column, path: "host", message, hint: `edit ${file}:${line}` }];
  });
}
