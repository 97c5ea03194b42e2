// A whole bottle (egress with its token, the scripted agent, the work kept) in a machine of the real smolvm.
import { declareSuite } from "../support/machine-tests.ts";
import { requires } from "../support/requires.ts";

const MINUTE_MS = 60_000;

await declareSuite(
  { what: "a whole bottle on smolvm 1.32.2", entry: "whole-bottle.ts", deadlineMs: 5 * MINUTE_MS },
  requires("emulated-host"),
);
