// What proves a guest that is filtered by address, on guests that answer as they like.
import { describe, expect, it } from "vitest";
import type { AttachmentValues, ProbeTarget } from "../../src/backends/contract.ts";
import { verifyTsi } from "../../src/bottle/verify-tsi.ts";

const ALIAS = "127.99.98.97";
const attachment: AttachmentValues = { endpoints: { proxy: { host: ALIAS, port: 40_000 } } };

/** Proves a guest that answers like this; returns its warnings. */
async function prove(
  answer: (target: ProbeTarget) => string | undefined,
  values: AttachmentValues | undefined = attachment,
): Promise<readonly string[]> {
  const warnings: string[] = [];
  const probe = (target: ProbeTarget): Promise<string> =>
    Promise.resolve(answer(target) ?? (target.type === "dns" ? "timeout" : "refused"));
  await verifyTsi({ attachment: values, guest: { probe }, onWarning: (it) => warnings.push(it) });
  return warnings;
}

const refused = { code: "launch.not-isolated" };

describe("a guest filtered by address", () => {
  it("passes when it reaches nothing but its doors", async () => {
    expect(await prove(() => undefined)).toEqual([]);
  });

  it.each(["127.0.0.1", "192.0.2.1", "169.254.169.254", "127.99.98.96", "2001:db8::1"])(
    "is refused when it reaches %s",
    async (host) => {
      const answer = (target: ProbeTarget): string | undefined =>
        target.type === "tcp" && target.host === host ? "connected" : undefined;
      await expect(prove(answer)).rejects.toMatchObject(refused);
    },
  );

  it("is refused when an answer does not come: silence proves nothing there", async () => {
    const answer = (target: ProbeTarget): string | undefined =>
      target.type === "tcp" && target.host === "127.0.0.1" ? "timeout" : undefined;
    await expect(prove(answer)).rejects.toMatchObject(refused);
  });

  it("is refused when a port of its alias answers that is no door, or a name server does", async () => {
    const port = (target: ProbeTarget): string | undefined =>
      target.type === "tcp" && target.host === ALIAS && target.port === 8888
        ? "connected"
        : undefined;
    await expect(prove(port)).rejects.toThrow(/8888/);
    await expect(
      prove(({ type }) => (type === "dns" ? "answered" : undefined)),
    ).rejects.toMatchObject(refused);
  });

  it("is refused when its doors are not on one alias of its own", async () => {
    const at = (host: string) => ({ endpoints: { proxy: { host, port: 1 } } });
    const two = {
      endpoints: { ...at("127.0.0.16").endpoints, git: { host: "127.0.0.17", port: 2 } },
    };
    for (const values of [{ endpoints: {} }, at("127.0.0.1"), at("192.168.1.2"), two])
      await expect(prove(() => undefined, values)).rejects.toMatchObject(refused);
  });
});
