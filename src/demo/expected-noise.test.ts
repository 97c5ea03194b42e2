// What of a real agent's lines the demo tells.
import { describe, expect, it } from "vitest";
import { retellAgent } from "./expected-noise.ts";

const NOISE =
  "2026-01-02T03:04:05.678Z ERROR codex_api::endpoint::responses_websocket: failed to connect to Responses WebSocket stage=Unknown";

describe("an agent's line", () => {
  it("is told as it is", () => {
    expect(retellAgent("codex")("ERROR: it broke")).toEqual([
      { who: "agent", text: "ERROR: it broke" },
    ]);
    expect(retellAgent("claude")(NOISE)).toEqual([{ who: "agent", text: NOISE }]);
  });

  it("about the missing WebSocket is explained once", () => {
    const retell = retellAgent("codex");
    expect(retell(NOISE)).toEqual([
      { who: "host", text: expect.stringMatching(/WebSocket.*stand-in.*HTTP/) },
    ]);
    expect(retell(NOISE)).toEqual([]);
  });
});
