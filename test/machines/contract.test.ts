// The contract suite over smolmachines on the real smolvm: what a guest is, what it sees and what is kept of it. The life of a bottle is
// in a file, and so on a host, of its own.
import { declareSuite } from "../support/machine-tests.ts";
import { requires } from "../support/requires.ts";

const MINUTE_MS = 60_000;

await declareSuite(
  {
    what: "contract on smolvm 1.32.2, guests and work",
    entry: "contract.ts",
    only: /^backend smolmachines (?!life )/,
    deadlineMs: 14 * MINUTE_MS,
  },
  requires("emulated-host"),
);
