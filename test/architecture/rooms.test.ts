// The rooms of src/ and their arrows, as drawn in rooms.ts.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkLazy, checkPurity, checkRooms } from "./check-rooms.ts";
import { ROOMS } from "./rooms.ts";
import { printed, readTree } from "./scan.ts";

const src = join(import.meta.dirname, "../../src");
const tree = existsSync(src) ? readTree(src, /\.tsx?$/) : new Map<string, string>();

test("every import follows an arrow of the table", () => {
  expect(printed(checkRooms(tree))).toBe("");
});

test("files that decide neither act nor look at the world", () => {
  expect(printed(checkPurity(tree))).toBe("");
});

test("the CLI's entry loads the heavy rooms only on demand", () => {
  expect(printed(checkLazy(tree))).toBe("");
});

test("a room has at most five doors", () => {
  expect(ROOMS.filter((room) => (room.doors?.length ?? 0) > 5)).toEqual([]);
});
