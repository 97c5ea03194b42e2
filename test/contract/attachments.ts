// How guests under the contract of every backend reach their bundles.
import { expect, vi } from "vitest";
import type { BundleHost } from "../../src/bundle/contract.ts";
import type { Bottle } from "../../src/index.ts";
import { createFakeBundleHost } from "../../src/testing/index.ts";
import { leftInHome, type World } from "../support/bottle-world.ts";

/** Time for an engine to remove what ended, in its own time. */
const ENGINE_MS = 15_000;

/** A host of bundles that can be told to die for good. */
export interface SuiteBundleHost extends BundleHost {
  readonly launched: readonly { crash(): void }[];
}

/** How guests are attached to their bundles, and what a guest sees of it. Everything else is the same for all. */
export interface SuiteAttachment {
  /** Line of each bottle's file; empty where the backend has no choice. */
  readonly setting: string;
  /** `failure` makes every launch fail with it. */
  readonly createBundleHost: (options?: { readonly failure?: Error }) => SuiteBundleHost;
  /** Where the guest finds its doors. */
  readonly door: (bottle: Bottle) => { readonly name: string; readonly host?: string };
  /** Interfaces of the guest beside its loopback. */
  readonly interfaces: number;
  /** What a connection to nowhere comes to. */
  readonly nowhere: readonly string[];
  /** What is on an engine of the bottles of this file, as text. */
  readonly leftOnEngine: () => string;
}

/** Doors are sockets, which guest-init's relays lead to. */
export const BY_SOCKETS: SuiteAttachment = {
  setting: "",
  createBundleHost: createFakeBundleHost,
  door: () => ({ name: "egress" }),
  interfaces: 0,
  nowhere: ["refused", "unreachable"],
  leftOnEngine: () => "",
};

/** Nothing is left of the bottles of a world, on the host and on the engine. */
export async function expectGone(
  attachment: SuiteAttachment,
  world: World,
  when: string | undefined,
): Promise<void> {
  expect(leftInHome(world), when).toEqual([]);
  await expectEngineClear(attachment, when);
}

/** An engine removes what ended in its own time, but all of it. */
export async function expectEngineClear(
  { leftOnEngine }: SuiteAttachment,
  when?: string,
): Promise<void> {
  await vi.waitFor(() => expect(leftOnEngine(), when).toBe(""), { timeout: ENGINE_MS });
}
