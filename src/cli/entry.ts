#!/usr/bin/env node
/** Where the built CLI begins. Small, because nothing compiled is kept of the file that says where compiled code is kept. */
import { prepareNode } from "./prepare-node.ts";

prepareNode();
const { runMain } = await import("./main.ts");
await runMain();
