/** The environment of a guest's programs: the image's own beneath the plan's, which wins; of PATH both, the plan's first. Pure. */

/** Variables of an image that say who and where its programs are: the plan alone decides. */
const NEVER: ReadonlySet<string> = new Set(["HOME", "USER", "LOGNAME", "HOSTNAME", "PWD"]);

/** Merges the two; `imageEnv` is a list of `NAME=value`. */
export function mergeEnv(
  imageEnv: readonly string[],
  guestEnv: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const image = Object.fromEntries(imageEnv.map(splitEntry));
  const { PATH: imagePath = "", ...others } = image;
  const own = Object.entries(others).filter(([name]) => !NEVER.has(name));
  const directories = [guestEnv["PATH"] ?? "", imagePath].join(":").split(":");
  const path = [...new Set(directories.filter((it) => it.startsWith("/")))].join(":");
  return { ...Object.fromEntries(own), ...guestEnv, PATH: path };
}

function splitEntry(entry: string): [name: string, value: string] {
  const at = entry.indexOf("=");
  return at === -1 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
}
