/** Finds the bottle that the operator means: its exact name, or a beginning that only one bottle has. */
import { UsageError } from "../base/errors.ts";
import { type HomePaths, type ListedBottle, listBottles } from "../index.ts";
import { nearest } from "./nearest.ts";

/** The name that `text` means; a beginning means one of `preferred` before the others. Throws UsageError `usage.unknown-bottle` or `usage.ambiguous-bottle`. */
export function matchSlug(
  text: string,
  names: readonly string[],
  preferred: readonly string[] = [],
  hint: string = "run bot-bottle list active, or list kept for those that ended with work in them",
): string {
  if (names.includes(text)) return text;
  const all = text === "" ? [] : names.filter((name) => name.startsWith(text));
  const first = all.filter((name) => preferred.includes(name));
  const matches = first.length > 0 ? first : all;
  const [only] = matches;
  if (only !== undefined && matches.length === 1) return only;
  if (only !== undefined) {
    throw new UsageError(
      "usage.ambiguous-bottle",
      `"${text}" fits several bottles: ${matches.join(", ")}`,
      {
        hint: "write more of the name",
      },
    );
  }
  const close = nearest(text, names);
  throw new UsageError(
    "usage.unknown-bottle",
    `no bottle is called "${text}"${close === undefined ? "" : `; did you mean ${close}`}`,
    { hint },
  );
}

/** Which bottles a beginning of a name means first. */
export interface FindOptions {
  /** Those that run, before kept ones with the same beginning. */
  readonly prefersActive: boolean;
}

/** The names of the bottles that run or are about to. */
export function activeNames(bottles: readonly ListedBottle[]): readonly string[] {
  return bottles
    .filter(({ status }) => status === "running" || status === "launching")
    .map(({ slug }) => slug);
}

/** The bottle that `text` means, running or not. Throws UsageError. */
export async function findBottle(
  home: HomePaths,
  text: string,
  { prefersActive }: FindOptions,
): Promise<ListedBottle> {
  const bottles = await listBottles(home);
  return requireFound(text, bottles, prefersActive ? activeNames(bottles) : []);
}

/** The one of `bottles` that `text` means. Throws UsageError. */
export function requireFound(
  text: string,
  bottles: readonly ListedBottle[],
  preferred: readonly string[] = [],
): ListedBottle {
  const names = bottles.map((bottle) => bottle.slug);
  const found = bottles[names.indexOf(matchSlug(text, names, preferred))];
  if (found !== undefined) return found;
  throw new UsageError("usage.unknown-bottle", `no bottle is called "${text}"`, {
    hint: "run bot-bottle list active",
  });
}

/** The running bottle that `text` means. Throws UsageError. */
export async function findRunning(home: HomePaths, text: string): Promise<ListedBottle> {
  const bottle = await findBottle(home, text, { prefersActive: true });
  requireRunning(bottle);
  return bottle;
}

/** What to do with a bottle in each state that is not running. */
const REMEDIES: Readonly<Record<Exclude<ListedBottle["status"], "running">, string>> = {
  launching: "wait until it has started, then try again",
  kept: "its work is kept: run bot-bottle info",
  dead: "its owner is gone: run bot-bottle cleanup",
  elsewhere: "use it where it was started: another machine or container owns it",
};

/** Throws UsageError `usage.not-running` unless the bottle runs here. */
export function requireRunning({ slug, status }: ListedBottle): void {
  if (status === "running") return;
  const remedy = REMEDIES[status];
  throw new UsageError("usage.not-running", `bottle ${slug} is not running: it is ${status}`, {
    hint: status === "kept" ? `${remedy} ${slug}` : remedy,
  });
}
