// Owners of machines of the real smolvm that are killed: nothing is left behind.
import { declareSuite } from "../support/machine-tests.ts";
import { requires } from "../support/requires.ts";

const MINUTE_MS = 60_000;

await declareSuite(
  {
    what: "the kill matrix on smolvm 1.32.2",
    entry: "kill-matrix.ts",
    deadlineMs: 14 * MINUTE_MS,
  },
  requires("emulated-host"),
);
