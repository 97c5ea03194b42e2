/** Branded names and how they are made. A brand is given only by its parser. */
import { UsageError } from "./errors.ts";

declare const brand: unique symbol;
/** A `T` that only its parser can make. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Identity of one bottle instance (its slug): the key of its state directory and of every resource name. */
export type BottleId = Brand<string, "BottleId">;
/** An absolute path on the operator's machine. */
export type HostPath = Brand<string, "HostPath">;
/** An absolute path inside the guest. */
export type GuestPath = Brand<string, "GuestPath">;
/** Longest slug: label bytes (64) plus a suffix, and short enough for container and cgroup names. */
export const MAX_SLUG_LENGTH = 72;

const SLUG = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;

/** Parses a slug: lower-case letters, digits and inner hyphens. Throws {@link UsageError}. */
export function parseBottleId(text: string): BottleId {
  if (text.length > MAX_SLUG_LENGTH || !SLUG.test(text)) {
    throw new UsageError(
      "usage.invalid",
      `"${text.slice(0, 80)}" is not a bottle name: letters, digits and hyphens are expected`,
      {
        hint: "run bot-bottle list active to see the running bottles",
      },
    );
  }
  return text as BottleId;
}

/** Turns any text into slug form; "bottle" when nothing usable is left. */
export function slugify(text: string): string {
  const slug = text
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 64)
    .replace(/-+$/, "");
  return slug === "" ? "bottle" : slug;
}

/** Brands an absolute host path. Throws {@link UsageError} when it is relative or holds a NUL byte. */
export function parseHostPath(text: string): HostPath {
  if (!text.startsWith("/") || text.includes("\0")) {
    throw new UsageError("usage.path", `"${text}" is not an absolute path`);
  }
  return text as HostPath;
}

/** Brands an absolute guest path without `..` segments. Throws {@link UsageError}. */
export function parseGuestPath(text: string): GuestPath {
  if (!text.startsWith("/") || text.includes("\0") || text.split("/").includes("..")) {
    throw new UsageError("usage.path", `"${text}" is not an absolute guest path without ".."`, {
      hint: "begin it with /, for example /home/node/workspace",
    });
  }
  return text as GuestPath;
}
