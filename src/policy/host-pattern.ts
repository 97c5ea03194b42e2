/** Matches canonical host names, label by label: `*.` stands for exactly one label and never for the apex. */

/** Tells whether a pattern stands for more than one host. */
export function isWildcard(pattern: string): boolean {
  return pattern.startsWith("*.");
}

/** Tells whether a canonical host is what the pattern names: the host itself, or `*.` and exactly one label before it. */
export function matchesHost(pattern: string, host: string): boolean {
  if (!isWildcard(pattern)) return pattern === host;
  const dot = host.indexOf(".");
  return dot > 0 && host.slice(dot + 1) === pattern.slice(2);
}

/** Why a host pattern is refused, undefined where it is fine: a wildcard needs two literal labels below it. */
export function refuseHostPattern(pattern: string): string | undefined {
  if (!pattern.includes("*")) return undefined;
  const rest = pattern.slice(2);
  if (!pattern.startsWith("*.") || rest.includes("*")) {
    return "a wildcard is written as the whole first label, such as *.example.com";
  }
  if (rest.split(".").filter((label) => label !== "").length < 2) {
    return "a wildcard over a public suffix would allow hosts of strangers";
  }
  return undefined;
}
