// The contract suite over smolmachines on the oldest smolvm that is fit, of what differs: before 1.14 there is no state directory of
// its own, no choice of the user, no end with the workload.
import { declareSuite } from "../support/machine-tests.ts";
import { requires } from "../support/requires.ts";

const MINUTE_MS = 60_000;

await declareSuite(
  {
    version: "1.8.1",
    what: "contract on smolvm 1.8.1, of what differs",
    entry: "contract.ts",
    only: /own output and status|the prompt and the workspace|gone after close/,
    deadlineMs: 8 * MINUTE_MS,
  },
  requires("emulated-host"),
);
