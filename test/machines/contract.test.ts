// The contract suite over smolmachines, on the real smolvm: dealt out to several copies of the host, so that one that hangs
// costs little.
import { declareSuite } from "../support/machine-tests.ts";
import { requires } from "../support/requires.ts";

const PARTS = 3;
const MINUTE_MS = 60_000;

for (let part = 1; part <= PARTS; part += 1) {
  await declareSuite(
    {
      what: `contract on smolvm 1.32.2, part ${part} of ${PARTS}`,
      entry: "contract.ts",
      part: [part, PARTS],
      deadlineMs: 12 * MINUTE_MS,
    },
    requires("emulated-host"),
  );
}

// What differs before 1.14: no state directory of its own, no choice of the user, no end with the workload.
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
