// A status is read tolerantly and judged strictly.
import { describe, expect, it } from "vitest";
import { findStatusFaults, parseStatus } from "./machine-status.ts";

const STATUS = {
  name: "bot-bottle-x",
  state: "created",
  network: false,
  ports: 0,
  mounts: 4,
  cpus: 2,
  memory_mib: 1024,
  labels: { "bot-bottle": "x" },
  pid: null,
  unknown_field: { of: "a newer version" },
};
const EXPECTED = {
  name: "bot-bottle-x",
  labels: { "bot-bottle": "x" },
  mounts: 4,
  cpus: 2,
  memoryMiB: 1024,
  states: ["created"],
};

const judge = (changes: object) =>
  findStatusFaults(parseStatus(JSON.stringify({ ...STATUS, ...changes })), EXPECTED);

describe("findStatusFaults", () => {
  it("finds nothing where all is as asked for", () => {
    expect(judge({})).toEqual([]);
  });

  it.each([
    [{ network: true }, "its network is true, not false"],
    [{ ports: 1 }, "the number of its ports is 1, not 0"],
    [{ mounts: 5 }, "the number of its mounts is 5, not 4"],
    [{ labels: {} }, "its label bot-bottle is undefined, not x"],
    [{ name: "other" }, "the machine's name is other, not bot-bottle-x"],
    [{ state: "running" }, "its state is running, not created"],
    [{ memory_mib: 8192 }, "its memory in MiB is 8192, not 1024"],
  ])("finds %o", (change, fault) => {
    expect(judge(change)).toEqual([fault]);
  });
});

describe("parseStatus", () => {
  it.each(["", "[]", "{}", '{"name":"x"}', JSON.stringify({ ...STATUS, network: "no" })])(
    "refuses %s",
    (text) => {
      expect(() => parseStatus(text)).toThrowError(/cannot be read/);
    },
  );
});
