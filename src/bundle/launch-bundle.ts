/**
 * The bundle host `process`: the bundle is our child, inside bubblewrap. Invariant: after its end no door is left in the
 * doors directory.
 */
import { closeSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { systemCode } from "../base/errors.ts";
import { findBinary, requireBinary } from "../process/find-binary.ts";
import { coreLimitArgs } from "../process/hard-limits.ts";
import { startBundleProcess } from "./bundle-process.ts";
import type { BundleContext, BundleHandle, BundleHost, BundlePlan } from "./contract.ts";
import { ensureAuditFile } from "./log-file.ts";
import {
  renderSandbox,
  SANDBOX_PATHS,
  type SandboxFacts,
  SYSTEM_DIRECTORIES,
} from "./render-sandbox.ts";
import { superviseBundle } from "./supervise.ts";

/** The host `process`: the bundle is our child, inside bubblewrap. */
export function createProcessBundleHost(): BundleHost {
  return { launch: launchProcess };
}

async function launchProcess(plan: BundlePlan, context: BundleContext): Promise<BundleHandle> {
  const argv = renderSandbox(plan, await probeSandbox(context));
  // Bubblewrap binds the file itself, so it has to exist.
  closeSync(ensureAuditFile(plan.auditFile));
  return superviseBundle({
    plan,
    context,
    start: () => startBundleProcess(plan, argv, context),
    clear: () => {
      for (const { socket } of plan.daemons) rmSync(join(plan.doorsDir, socket), { force: true });
    },
    places: {
      auditFile: SANDBOX_PATHS.audit,
      doorOf: ({ socket }) => join(SANDBOX_PATHS.doors, socket),
    },
  });
}

/** Looks at what the sandbox depends on. Throws HostError when bubblewrap is missing. */
async function probeSandbox(context: BundleContext): Promise<SandboxFacts> {
  const { searchPath } = context.ports;
  const [bwrapPath, prlimitPath] = await Promise.all([
    requireBinary("bwrap", searchPath),
    findBinary("prlimit", searchPath),
  ]);
  const system = SYSTEM_DIRECTORIES.flatMap((path) => {
    const target = readTopLevel(path);
    return target === "missing" ? [] : [{ path, target }];
  });
  const limitArgs = prlimitPath === undefined ? [] : coreLimitArgs();
  const coreLimit = limitArgs.length === 0 ? [] : [prlimitPath ?? "", ...limitArgs, "--"];
  return { bwrapPath, coreLimit, isRoot: process.getuid?.() === 0, system };
}

/** Target of a link, undefined for a directory, or `missing`. */
function readTopLevel(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    return systemCode(error) === "EINVAL" ? undefined : "missing";
  }
}
