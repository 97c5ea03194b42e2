// Escape probes out of a machine of the real smolvm, and a whole bottle in one.
import { declareSuite } from "../support/machine-tests.ts";
import { requires } from "../support/requires.ts";

const MINUTE_MS = 60_000;
const needs = requires("emulated-host");

await declareSuite(
  { what: "escape probes on smolvm 1.32.2", entry: "escape.ts", deadlineMs: 8 * MINUTE_MS },
  needs,
);
