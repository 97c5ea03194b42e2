/**
 * Proves a guest before any agent code runs: isolation from outside and from inside, at once; every door must answer and
 * nothing else may. Any doubt ends the launch.
 */

import { createServer } from "node:net";
import type { AttachmentValues, Guest } from "../backends/contract.ts";
import { LaunchError } from "../base/errors.ts";
import { Scope } from "../base/scope.ts";
import { logHint } from "../bundle/log-tail.ts";
import { notIsolated } from "./not-isolated.ts";
import type { BottlePlan } from "./plan.ts";

/** How long a probe of the outside may take. Refusals answer at once, but a guest that has just booted may be slow to ask. */
const OUTSIDE_PROBE_MS = 5000;
const DOOR_PROBE_MS = 5000;
/** Addresses that must not be reachable: documentation ranges, so that nobody is bothered where isolation fails. */
const OUTSIDE = [
  { host: "192.0.2.1", port: 443 },
  { host: "2001:db8::1", port: 443 },
  { host: "169.254.169.254", port: 80 },
] as const;
/** What an isolated guest answers. */
const BLOCKED = new Set(["refused", "unreachable"]);

/** What a proof is made with beside plan and guest. */
export interface ProofInput {
  /** Where the doors are, where that is known only now. */
  readonly attachment: AttachmentValues | undefined;
  /** Settles when the bundle is on the network that it shares with the guest, where it shares one. */
  readonly whenJoined: Promise<void>;
  /** Told of what is not as strong as a reader of the plan may think. */
  readonly onWarning: (text: string) => void;
}

/** Throws LaunchError `launch.not-isolated` when the guest is not cut off. */
export async function verifyIsolation(
  plan: BottlePlan,
  guest: Guest,
  input: ProofInput,
): Promise<void> {
  const { attachment, network } = plan.guest;
  if (attachment === "tsi") {
    const { verifyTsi } = await import("./verify-tsi.ts");
    await Promise.all([verifyTsi({ ...input, guest }), expectLoopbackOnly(guest), inspect(guest)]);
    return;
  }
  if (attachment === "internal" && network !== undefined) {
    const { verifyInternal } = await import("./verify-internal.ts");
    await Promise.all([verifyInternal(network, guest, input.whenJoined), inspect(guest)]);
    return;
  }
  await Promise.all([expectCutOff(guest), expectLoopbackOnly(guest), inspect(guest)]);
}

async function inspect(guest: Guest): Promise<void> {
  const faults = await guest.inspectIsolation();
  if (faults.length > 0) throw notIsolated(faults.join("; "));
}

async function expectLoopbackOnly(guest: Guest): Promise<void> {
  const interfaces = await guest.probe({ type: "interfaces" });
  if (interfaces !== "lo") throw notIsolated(`it has the network interfaces ${interfaces}`);
}

async function expectCutOff(guest: Guest): Promise<void> {
  await using scope = new Scope();
  await Promise.all([
    ...OUTSIDE.map((target) => expectBlocked(guest, target)),
    expectHostBlocked(guest, listenOnHost(scope)),
  ]);
}

async function expectHostBlocked(guest: Guest, listening: Promise<number>): Promise<void> {
  const port = await listening;
  const hosts = ["127.0.0.1", "::1"];
  await Promise.all(hosts.map((host) => expectBlocked(guest, { host, port })));
}

/** A listener on the host's loopback that the guest must not find. */
async function listenOnHost(scope: Scope): Promise<number> {
  const server = createServer((socket) => socket.destroy());
  scope.defer("host probe listener", () => new Promise((resolve) => server.close(resolve)));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function expectBlocked(
  guest: Guest,
  target: { readonly host: string; readonly port: number },
): Promise<void> {
  const answer = await guest.probe({ type: "tcp", ...target, timeoutMs: OUTSIDE_PROBE_MS });
  if (!BLOCKED.has(answer))
    throw notIsolated(`a connection to ${target.host}:${target.port} ended with "${answer}"`);
}

/** Throws LaunchError `launch.door` when a door does not answer from inside. */
export async function verifyDoors(
  plan: BottlePlan,
  guest: Guest,
  { attachment }: Pick<ProofInput, "attachment">,
): Promise<void> {
  const { doors, network } = plan.guest;
  // Only there the guest speaks to the bundle itself; otherwise guest-init's relays listen on its loopback.
  const address =
    plan.attachment === "internal" && network !== undefined ? { host: network.bundleAddress } : {};
  await Promise.all(
    doors.map(async (door) => {
      const { port } = door;
      const at = attachment?.endpoints[door.name] ?? { ...address, port };
      const answer = await guest.probe({ type: "door", ...at, timeoutMs: DOOR_PROBE_MS });
      if (answer === "connected") return;
      throw new LaunchError(
        "launch.door",
        `door ${door.name} does not answer from inside the guest: "${answer}"`,
        {
          hint: logHint(plan.bundle.logFile),
          details: { door: door.name, port },
        },
      );
    }),
  );
}
