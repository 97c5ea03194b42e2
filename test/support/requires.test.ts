// Skips carry their reason, and REQUIRE turns one into a failure.
import { userInfo } from "node:os";
import { afterEach, expect, test } from "vitest";
import { type Capability, requires } from "./requires.ts";

const isRoot = userInfo().uid === 0;
const absent: Capability = isRoot ? "ordinary-user" : "root";
const present: Capability = isRoot ? "root" : "ordinary-user";

afterEach(() => {
  delete process.env["REQUIRE"];
});

test("what the machine has is not skipped", () => {
  process.env["REQUIRE"] = present;
  expect(requires(present)).toEqual({ skip: false, meta: {} });
});

test("what it lacks is skipped with the reason", () => {
  const { skip, meta } = requires(present, absent);
  expect(skip).toBe(true);
  expect(meta.skipReason).toContain(`${absent}: `);
});

test("what it lacks and REQUIRE names is a failure", () => {
  process.env["REQUIRE"] = `kvm,${absent}`;
  expect(() => requires(absent)).toThrow(`REQUIRE names ${absent}`);
});
