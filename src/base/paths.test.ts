import { expect, it } from "vitest";
import { isoTime } from "./clock.ts";
import { parseBottleId, parseHostPath } from "./ids.ts";
import { parseJson } from "./json.ts";
import { bottlePaths, homePaths } from "./paths.ts";

it("puts everything of a bottle under its name", () => {
  const home = homePaths(parseHostPath("/h"));
  const paths = bottlePaths(home, parseBottleId("x-1"), parseHostPath("/run/abc"));
  expect(home).toMatchObject({ state: "/h/state", audit: "/h/audit", cache: "/h/cache" });
  expect(paths).toMatchObject({
    metadata: "/h/state/x-1/metadata.json",
    workspace: "/h/state/x-1/workspace",
    queue: "/h/queue/x-1",
    audit: "/h/audit/x-1.jsonl",
    doors: "/run/abc/doors",
    control: "/run/abc/control.sock",
  });
});

it("tells time in UTC and parses only JSON", () => {
  expect(isoTime(0)).toBe("1970-01-01T00:00:00.000Z");
  expect(parseJson('{"a":1}')).toEqual({ a: 1 });
  expect(() => parseJson("{")).toThrow(SyntaxError);
});
