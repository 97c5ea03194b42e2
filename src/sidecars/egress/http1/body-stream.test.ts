import { describe, expect, it } from "vitest";
import { BodyFault, type BodySink } from "../message.ts";
import { BodyStream } from "./body-stream.ts";

function setUp(): { body: BodyStream; calls: string[] } {
  const calls: string[] = [];
  const body = new BodyStream({
    pause: () => calls.push("pause"),
    resume: () => calls.push("resume"),
    discard: () => calls.push("discard"),
  });
  return { body, calls };
}

function collector(takes = Number.POSITIVE_INFINITY): BodySink & { readonly seen: string[] } {
  const seen: string[] = [];
  let left = takes;
  return {
    seen,
    data: (chunk) => {
      seen.push(chunk.toString());
      left -= 1;
      return left > 0;
    },
    flush: () => undefined,
    end: (trailers) => seen.push(`end ${trailers.length}`),
    fail: (fault) => seen.push(`fail ${fault.kind}`),
  };
}

describe("a body on its way", () => {
  it("waits for its sink and halts the connection meanwhile", () => {
    const { body, calls } = setUp();
    body.push(Buffer.from("a"));
    expect(calls).toEqual(["pause"]);
    const sink = collector();
    body.flow(sink);
    expect([sink.seen, calls.at(-1)]).toEqual([["a"], "resume"]);
    body.push(Buffer.from("b"));
    body.finish([["x", "y"]]);
    expect(sink.seen).toEqual(["a", "b", "end 1"]);
  });

  it("keeps the pace of its sink, and tells its end last", () => {
    const { body, calls } = setUp();
    const sink = collector(1);
    body.flow(sink);
    body.push(Buffer.from("a"));
    expect(calls.at(-1)).toBe("pause");
    body.push(Buffer.from("b"));
    body.finish([]);
    expect(sink.seen).toEqual(["a"]);
    body.resume();
    expect(sink.seen).toEqual(["a", "b"]);
    body.resume();
    expect(sink.seen).toEqual(["a", "b", "end 0"]);
  });

  it("goes on into another sink where one had enough", () => {
    const { body } = setUp();
    const first = collector(2);
    body.flow(first);
    for (const text of ["a", "b", "c", "d"]) body.push(Buffer.from(text));
    const second = collector();
    body.flow(second);
    body.finish([]);
    expect([first.seen, second.seen]).toEqual([
      ["a", "b"],
      ["c", "d", "end 0"],
    ]);
  });

  it("tells a break once, behind what came before it", () => {
    const { body } = setUp();
    body.push(Buffer.from("a"));
    body.break(new BodyFault("aborted", "gone"));
    body.break(new BodyFault("slow", "later"));
    const sink = collector();
    body.flow(sink);
    expect(sink.seen).toEqual(["a", "fail aborted"]);
  });

  it("throws the rest away when nobody wants it", () => {
    const { body, calls } = setUp();
    const sink = collector();
    body.flow(sink);
    body.cancel();
    body.push(Buffer.from("a"));
    body.finish([]);
    expect([sink.seen, calls.at(-1)]).toEqual([[], "discard"]);
    expect(body.hasEnded).toBe(true);
  });
});
