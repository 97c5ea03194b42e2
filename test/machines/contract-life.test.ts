// The contract suite over smolmachines on the real smolvm: how bottles begin and end.
import { declareSuite } from "../support/machine-tests.ts";
import { requires } from "../support/requires.ts";

const MINUTE_MS = 60_000;

await declareSuite(
  {
    what: "contract on smolvm 1.32.2, life",
    entry: "contract.ts",
    only: /^backend smolmachines life /,
    deadlineMs: 14 * MINUTE_MS,
  },
  requires("emulated-host"),
);
