/** What has to be done before the program is loaded: whether this Node can run it, and where its compiled code is kept. */
import { existsSync } from "node:fs";
import * as nodeModule from "node:module";
import { homeOf } from "./env.ts";

/** Ends the process on a Node that is too old. */
export function prepareNode(): void {
  refuseOldNode(process.versions.node);
  cacheCode(process.argv[2] ?? "");
}

/** What an older Node is told; the code of the program would not even parse there. */
function refuseOldNode(version: string): void {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > 24 || (major === 24 && minor >= 2)) return;
  process.stderr.write(
    `error [host.node-missing] this is Node ${version}; bot-bottle needs Node 24.2 or newer\n`,
  );
  process.stderr.write("hint: install a current Node, for example with npm install -g node@24\n");
  process.exit(69);
}

/**
 * Compiled code is kept in the operator's home only: whoever can write the cache can make us run anything, and Node's own
 * place for it is the shared /tmp. Nothing is made where there is no home yet. Each command has its own: Node keeps the
 * functions that the first run used and never adds those of another.
 */
function cacheCode(command: string): void {
  const home = homeOf(process.env);
  if (!home.startsWith("/") || !existsSync(home)) return;
  nodeModule.enableCompileCache(
    `${home}/cache/code/${/^[a-z]{1,20}$/.test(command) ? command : "help"}`,
  );
}
