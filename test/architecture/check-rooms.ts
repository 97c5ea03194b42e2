// Checks a source tree against the table of rooms.ts.
import { matchesGlob } from "node:path";
import { LAZY, PURE, ROOMS, type Room } from "./rooms.ts";
import { type Import, importsOf, type Tree, type Violation, withoutComments } from "./scan.ts";

const segments = (path: string): string[] => path.replace(/\.tsx?$/, "").split("/");

/** True where the pattern names the module or a folder above it. */
function names(pattern: string, module: string): boolean {
  const parts = segments(module);
  return segments(pattern).every((wanted, i) =>
    wanted === "*" ? i in parts : wanted === parts[i],
  );
}

const roomOf = (module: string): Room | undefined => ROOMS.find((it) => names(it.room, module));

/** The room's own folder: for `sidecars/*` that of one sidecar. */
const home = (room: Room, module: string): string =>
  segments(module).slice(0, segments(room.room).length).join("/");

const isTest = (file: string): boolean => /\.test\.tsx?$/.test(file);

function wrongArrow(file: string, it: Import): string | undefined {
  const from = roomOf(file);
  if (from === undefined) return "this file belongs to no room";
  if (it.specifier === "(computed)") return "a computed import cannot be checked";
  if (it.specifier.startsWith("node:")) return undefined;
  if (!it.specifier.startsWith(".")) {
    return from.packages === false ? `${from.room} may import no package` : undefined;
  }
  if (it.target.startsWith("..")) return "an import leaves src/";
  const own = home(from, file);
  if (names(own, it.target)) return undefined;
  if (!from.may.some((pattern) => names(pattern, it.target))) {
    return `${own} may not import ${it.target}`;
  }
  const doors = roomOf(it.target)?.doors;
  if (doors === undefined || doors.some((door) => names(door, it.target))) return undefined;
  return `${it.target} is not a door; doors are ${doors.join(", ")}`;
}

/** Imports that are not in the table. */
export function checkRooms(tree: Tree): Violation[] {
  const found: Violation[] = [];
  for (const [file, text] of tree) {
    if (isTest(file)) continue;
    const instead = roomOf(file)?.instead ?? "add the folder to test/architecture/rooms.ts";
    if (roomOf(file) === undefined)
      found.push({ rule: "room", file, found: "no such room", instead });
    for (const it of importsOf(file, text)) {
      const why = wrongArrow(file, it);
      if (why)
        found.push({ rule: "room", file, found: `import of "${it.specifier}": ${why}`, instead });
    }
  }
  return found;
}

/** Clock, randomness, environment and effects in files that must be pure. */
export function checkPurity(tree: Tree): Violation[] {
  const found: Violation[] = [];
  for (const [file, text] of tree) {
    const listed = (globs: readonly string[]): boolean => globs.some((it) => matchesGlob(file, it));
    if (isTest(file) || !listed(PURE.files) || listed(PURE.except)) continue;
    const source = withoutComments(text);
    const words = PURE.words.filter((word) => source.includes(word));
    const imports = importsOf(file, text).filter((it) => PURE.imports.includes(it.specifier));
    const environment = PURE.environment.exec(source)?.[0];
    for (const it of [...words, ...imports.map((each) => each.specifier), environment]) {
      if (it) found.push({ rule: "pure", file, found: `uses ${it}`, instead: PURE.instead });
    }
  }
  return found;
}

/** Rooms that are loaded by the CLI's entry before a command asks for them. */
export function checkLazy(tree: Tree): Violation[] {
  const found: Violation[] = [];
  const seen = new Set([LAZY.entry]);
  for (const module of seen) {
    const file = tree.has(`${module}.ts`) ? `${module}.ts` : `${module}.tsx`;
    for (const it of importsOf(file, tree.get(file) ?? "")) {
      if (it.kind !== "static" || !it.specifier.startsWith(".")) continue;
      const isHeavy = LAZY.rooms.some((room) => names(room, it.target));
      if (!isHeavy) seen.add(it.target);
      else found.push({ rule: "lazy", file, found: `loads ${it.target}`, instead: LAZY.instead });
    }
  }
  return found;
}
