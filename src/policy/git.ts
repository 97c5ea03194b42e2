/** Recognises git over HTTPS: pushing there is always refused, because only git-gate scans what a push carries. */
import { type HeaderList, headerValues } from "./headers.ts";
import { parseQuery } from "./query.ts";

/** What a request means to git; undefined for everything else. */
export type GitOperation = "push" | "fetch";

const segmentsOf = (path: string): readonly string[] =>
  path.split("/").map((segment) => (segment.split(/;|%3B/)[0] ?? "").toLowerCase());

/** What a path or a query must hold to mean anything to git, or to hide it. */
const MAY_MEAN_GIT = /git|info|%/i;

/** Tells what git operation a request on a normalised path is part of. */
export function gitOperation(
  path: string,
  query: string,
  headers: HeaderList,
): GitOperation | undefined {
  const mayMeanGit =
    MAY_MEAN_GIT.test(path) ||
    MAY_MEAN_GIT.test(query) ||
    headers.some(([, value]) => MAY_MEAN_GIT.test(value));
  if (!mayMeanGit) return undefined;
  const segments = segmentsOf(path).filter((it) => it !== "");
  const services = parseQuery(query)
    .filter((pair) => pair.name.trim().toLowerCase() === "service")
    .map((pair) => pair.value.trim().toLowerCase());
  const types = headerValues(headers, "content-type").map((type) => type.toLowerCase());
  const names = [...services, ...types, segments.at(-1) ?? ""];
  if (names.some((name) => name.includes("git-receive-pack"))) return "push";
  if (names.some((name) => /git-upload-(?:pack|archive)/.test(name))) return "fetch";
  const isAt = (...tail: string[]): boolean =>
    tail.every((segment, index) => segments.at(index - tail.length) === segment);
  if (isAt("info", "refs")) return "fetch";
  // What an LFS batch does stands in its body, so uploading and downloading cannot be told apart here.
  return isAt("info", "lfs", "objects", "batch") ? "fetch" : undefined;
}
