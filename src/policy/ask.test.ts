// Nobody to ask means no.
import { expect, it } from "vitest";
import { refusingAsk } from "./ask.ts";

it("refuses", async () => {
  await expect(refusingAsk.ask()).resolves.toBe("refused");
});
