/** A bundle without daemons, for tests of what is above it: each door accepts and closes, crashes on command. */
import { chmodSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { SidecarError } from "../base/errors.ts";
import { ignore } from "../base/log.ts";
import type { BundleContext, BundleHandle, BundleHost, BundlePlan } from "../bundle/contract.ts";
import type { AuditEvent } from "../protocol/audit.ts";

/** A fake bundle's handle, with what a test may do to it. */
export interface FakeBundleHandle extends BundleHandle {
  /** The bundle dies for good. */
  crash(): void;
  /** The bundle makes a decision. */
  decide(event: AuditEvent): void;
  /** Configurations it was reloaded with. */
  readonly reloads: readonly unknown[];
}

export interface FakeBundleHost extends BundleHost {
  /** Handles launched so far, oldest first. */
  readonly launched: readonly FakeBundleHandle[];
}

/** Makes a host of fake bundles; `failure` makes every launch fail with it. */
export function createFakeBundleHost(options: { readonly failure?: Error } = {}): FakeBundleHost {
  const launched: FakeBundleHandle[] = [];
  return {
    launched,
    launch: async (plan, context) => {
      if (options.failure !== undefined) throw options.failure;
      const handle = await openFakeBundle(plan, context);
      launched.push(handle);
      return handle;
    },
  };
}

async function openFakeBundle(plan: BundlePlan, context: BundleContext): Promise<FakeBundleHandle> {
  const sockets = plan.daemons.map((daemon) => join(plan.doorsDir, daemon.socket));
  const servers = await Promise.all(sockets.map(openDoor));
  const closed = Promise.withResolvers<void>();
  void ignore(closed.promise, "told by whoever waits for it");
  const reloads: unknown[] = [];
  const closeDoors = async (): Promise<void> => {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    await Promise.all(sockets.map((socket) => rm(socket, { force: true })));
  };
  return {
    pid: process.pid,
    closed: closed.promise,
    reloads,
    renew: () => Promise.resolve(),
    reload: (name, config) => {
      reloads.push(config);
      context.onReloaded?.(name, config);
      return Promise.resolve();
    },
    decide: (event) => context.onEvent(event),
    crash: () => {
      void closeDoors();
      closed.reject(new SidecarError("sidecar.died", "the fake bundle was told to die"));
    },
    [Symbol.asyncDispose]: async () => {
      await closeDoors();
      closed.resolve();
    },
  };
}

function openDoor(path: string): Promise<Server> {
  const server = createServer((socket) => socket.end());
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      chmodSync(path, 0o666);
      resolve(server);
    });
  });
}
