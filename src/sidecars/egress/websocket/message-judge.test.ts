// Messages on their way: what leaves of them, and what judging them costs.
import { describe, expect, it } from "vitest";
import { compileKnownSecrets } from "../../../policy/dlp/known-secrets.ts";
import { finish } from "../../../policy/dlp/steps.ts";
import type { Detector } from "../../../policy/dlp/types.ts";
import type { Route } from "../../../policy/egress.ts";
import { createBufferBudget } from "../body.ts";
import { OPCODES } from "./frames.ts";
import { MessageJudge } from "./message-judge.ts";

const SECRET = "tok-0123456789abcdefGHIJ";
const { detector } = compileKnownSecrets([{ name: "TOKEN", value: SECRET }]);

function judgeOf(outboundOnMatch: Route["outboundOnMatch"] = "block", limit = 8_000_000) {
  const seen = { bytes: 0 };
  const counting: Detector = {
    ...detector,
    find: (view, most) => {
      seen.bytes += view.bytes.length;
      return detector.find(view, most);
    },
  };
  const route: Route = {
    rule: "r",
    host: "api.test",
    port: undefined,
    matches: [],
    auth: undefined,
    outboundOnMatch,
    scansOutbound: true,
    allowsGitFetch: false,
  };
  const budget = createBufferBudget(limit);
  const policy = { detectors: [counting], placeholders: [] };
  return { judge: new MessageJudge(route, policy, budget), seen, budget };
}

const texts = (judge: MessageJudge): readonly string[] | string => {
  const judged = finish(judge.judge());
  return "reason" in judged
    ? judged.reason
    : judged.map(({ bytes, isLast }) => `${bytes.toString()}${isLast ? "" : "…"}`);
};
const { text, ping } = OPCODES;

describe("messages", () => {
  it("leave in their order, pings between them", () => {
    const { judge } = judgeOf();
    judge.push(text, Buffer.from("half "), false);
    judge.control(ping, Buffer.from("ping"));
    judge.push(text, Buffer.from("whole"), true);
    judge.push(text, Buffer.from("next"), true);
    expect(texts(judge)).toEqual(["ping", "half whole", "next"]);
    expect(texts(judge)).toEqual([]);
  });

  it("that are short and many cost a few searches of all of them", () => {
    const { judge, seen } = judgeOf();
    for (let count = 0; count < 5000; count += 1) {
      judge.push(text, Buffer.from("x"), true);
      judge.control(ping, Buffer.alloc(0));
    }
    expect(judge.waiting).toBeGreaterThan(5000);
    expect(texts(judge)).toHaveLength(10_000);
    expect(seen.bytes).toBeLessThan(20_000);
  });

  it.each([
    ["one", [SECRET]],
    ["two", [SECRET.slice(0, 9), SECRET.slice(9)]],
    ["many", Array.from(SECRET)],
    ["many, hidden", Array.from(Buffer.from(SECRET).toString("base64"))],
  ])("do not carry a value in %s", (_, parts) => {
    const { judge } = judgeOf();
    for (const part of ["before ", ...parts]) judge.push(text, Buffer.from(part), true);
    expect(texts(judge)).toBe("secret-found");
    const slow = judgeOf().judge;
    const results = parts.map((part) => {
      slow.push(text, Buffer.from(part), true);
      return texts(slow);
    });
    expect(results.at(-1)).toBe("secret-found");
  });

  it("do not carry a value across the end of a long one", () => {
    const { judge } = judgeOf();
    judge.push(text, Buffer.alloc(1_100_000, "a "), false);
    judge.push(text, Buffer.from(`b ${SECRET.slice(0, 12)}`), true);
    expect(texts(judge)).toHaveLength(1);
    judge.push(text, Buffer.from(SECRET.slice(12)), true);
    expect(texts(judge)).toBe("secret-found");
  });

  it("are masked where the route says so", () => {
    const { judge } = judgeOf("redact");
    judge.push(text, Buffer.from("one"), true);
    judge.push(text, Buffer.from(`a ${SECRET} b`), true);
    expect(texts(judge)).toEqual(["one", `a ${"*".repeat(SECRET.length)} b`]);
  });

  it("hold no more than they may, and give it back", () => {
    const { judge, budget } = judgeOf("block", 100);
    expect(judge.push(text, Buffer.alloc(60, "a"), false)).toBeUndefined();
    expect(judge.push(text, Buffer.alloc(60, "a"), true)).toMatchObject({ reason: "not-ready" });
    judge.close();
    expect(budget.take(100)).toBe(true);
    const other = judgeOf("block", 100);
    other.judge.push(text, Buffer.alloc(60, "a"), true);
    expect(texts(other.judge)).toHaveLength(1);
    expect(other.budget.take(100)).toBe(true);
  });
});
