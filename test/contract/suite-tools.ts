// What the parts of the contract share.
import type { Backend, Bottle } from "../../src/index.ts";
import type { World } from "../support/bottle-world.ts";
import type { SuiteAttachment, SuiteBundleHost } from "./attachments.ts";

/** What a part of the contract makes its bottles with. */
export interface SuiteParts {
  /** A backend and its bundle's host, new for each test. */
  readonly launchers: () => Promise<{
    readonly backend: Backend;
    readonly bundleHost: SuiteBundleHost;
  }>;
  readonly makeWorld: (bottle?: string) => World;
  readonly createBundleHost: SuiteAttachment["createBundleHost"];
  /** On the host and on an engine. */
  readonly expectNothingLeft: (world: World, when?: string) => Promise<void>;
}

/** Runs a script to its end. */
export function sh(bottle: Bottle, script: string): ReturnType<Bottle["exec"]> {
  return bottle.exec(["/bin/sh", "-c", script]);
}
