/**
 * Paths of the operator's machine in a bottle file. `~` is the operator's home; a relative path starts at the bottle file,
 * never at the current directory, because a clone must not choose what is read or built.
 */
import { dirname, resolve } from "node:path";
import { type HostPath, parseHostPath } from "../base/ids.ts";
import { fault, hasControl, ok, type Parsed } from "./parsed.ts";

/** Where paths of one file start. */
export interface PathBase {
  readonly userHome: HostPath;
  /** The bottle file. */
  readonly file: string;
}

/** Checks a path's text; {@link expandHostPath} makes it absolute. */
export function parsePathText(text: string): Parsed<string> {
  const expected = "a path, absolute, after ~/, or relative to this file";
  if (text.trim() === "") return fault("is empty", expected);
  if (hasControl(text)) return fault("has a control character", expected);
  if (text.startsWith("~") && text !== "~" && !text.startsWith("~/")) {
    return fault("names another user's home", expected);
  }
  return ok(text);
}

/** The absolute path of a checked text, normal and without a slash at its end. */
export function expandHostPath(text: string, base: PathBase): HostPath {
  const isInHome = text === "~" || text.startsWith("~/");
  const path = isInHome
    ? resolve(base.userHome, `.${text.slice(1)}`)
    : resolve(dirname(base.file), text);
  return parseHostPath(path);
}

/** True when `inner` is `outer` or lies below it. Both are absolute and normal. */
export function contains(outer: string, inner: string): boolean {
  const top = outer.replace(/\/+$/, "");
  return inner === outer || inner === top || inner.startsWith(`${top}/`);
}

/** Directories of the guest that a mount may not replace, with all below them. */
const GUEST_SYSTEM = "/proc /sys /dev /run /etc /usr /bin /sbin /lib /lib64 /boot".split(" ");
/** Directories of the guest that a mount may not replace, while one below them may. */
const GUEST_WHOLE = new Set([
  "/",
  "/home",
  "/home/node",
  "/home/node/workspace",
  "/tmp",
  "/root",
  "/var",
  "/opt",
]);

/** Parses the place of a mount in the guest. */
export function parseGuestMount(text: string): Parsed<string> {
  const expected = "an absolute directory of the guest, such as /ref";
  if (hasControl(text) || !text.startsWith("/") || /[:,\\]/.test(text))
    return fault("is not such a path", expected);
  const parts = text.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) return fault('has a ".." part', expected);
  const path = `/${parts.join("/")}`;
  if (GUEST_WHOLE.has(path) || GUEST_SYSTEM.some((it) => contains(it, path))) {
    return fault("would hide what the guest needs", expected);
  }
  return ok(path);
}
