// The contract of every backend over smolmachines; runs inside of the emulated host.
import { openBackend } from "../../../src/index.ts";
import { describeBackend } from "../../contract/backend-suite.ts";

describeBackend("smolmachines", () => openBackend("smolmachines"), { isShared: true });
