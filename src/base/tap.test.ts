import { expect, it } from "vitest";
import { tap } from "./tap.ts";

it("passes everything on in order, each seen before it is yielded", async () => {
  const seen: number[] = [];
  const passed: number[] = [];
  for await (const item of tap([1, 2, 3], (it) => seen.push(it))) {
    passed.push(item);
    expect(seen).toEqual(passed);
  }
  expect(passed).toEqual([1, 2, 3]);
});

it("ends with what the observer throws", async () => {
  const items = tap([1], () => {
    throw new Error("enough");
  });
  await expect(items.next()).rejects.toThrow("enough");
});
