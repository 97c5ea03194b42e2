// The contract on the smolmachines backend with attachment tsi: a fake smolvm 0.8, the real engine, packing by real programs.
import { afterAll } from "vitest";
import { requires } from "../support/requires.ts";
import { type SmolvmTsi, startSmolvmTsi } from "../support/smolvm-tsi.ts";
import { tempDir } from "../support/temp-dir.ts";
import { tsiBackend } from "../support/tsi-bottle.ts";
import { describeBackend } from "./backend-suite.ts";

/** One pack for the whole file, as it is in an operator's home. */
const cacheDir = tempDir("tsi-cache-");
let smolvm: Promise<SmolvmTsi> | undefined;

afterAll(async () => {
  await (await smolvm)?.[Symbol.asyncDispose]();
});

const open = async () => {
  smolvm ??= startSmolvmTsi();
  return tsiBackend(await smolvm, cacheDir);
};

describeBackend("smolmachines with attachment tsi", open, requires("docker", "root", "bwrap"));
