// What egress writes to its traffic log at each level.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  askThrough,
  bearer,
  route,
  SCANNED,
  startEgress,
  TOKEN,
  Upstream,
} from "./egress-support/harness.ts";

const HOST = "api.example.test";
let upstream: Upstream;

beforeEach(async () => {
  upstream = await new Upstream(HOST).listen();
});

afterEach(() => upstream.close());

describe("traffic log", () => {
  it("shows everything at level 2 except values", async () => {
    const log = async (logLevel: 0 | 1 | 2): Promise<string> => {
      await using logging = await startEgress({
        routes: [route(HOST, { auth: bearer })],
        resolve: { [HOST]: { address: "127.0.0.1", port: upstream.port } },
        config: { logLevel },
      });
      await askThrough(logging.door, HOST, {
        method: "POST",
        headers: { "x-mine": "1" },
        body: "sent",
      });
      await askThrough(logging.door, HOST, { path: `/?q=${SCANNED}` });
      return logging.logLines.join("");
    };
    expect(await log(0)).not.toContain("egress_");
    const blocks = await log(1);
    expect(blocks).toContain('"msg":"egress_block"');
    expect(blocks).not.toContain("egress_request");
    const full = await log(2);
    expect(full).toContain("x-mine: 1");
    expect(full).toContain('"body":"sent"');
    expect(full).toContain('"body":"hello from upstream\\n"');
    expect(full).toContain('"msg":"egress_response"');
    for (const value of [TOKEN, SCANNED]) expect(blocks + full).not.toContain(value);
  });
});
