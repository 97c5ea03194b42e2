/** Tries to reach something from inside the guest and says in one word what happened. Sends no byte, so that no log notes it. */
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { systemCode } from "../base/errors.ts";
import type { GuestOrder } from "../protocol/guest.ts";

/** What is to be reached. */
export type ProbeOrder = Extract<GuestOrder, { kind: "probe" }>["target"];

const LOOPBACK = "127.0.0.1";
/** Devices that a kernel makes by itself where a driver is built in or a tunnel module is loaded: down, and without an address. */
const FALLBACK_DEVICE =
  /^(?:dummy|tunl|sit|gre|gretap|erspan|ip6tnl|ip6gre|ip6gretap|ip_vti|ip6_vti)0$/;

/** One word, `connected` or what else happened; for interfaces their names joined with commas. */
export async function probe(target: ProbeOrder): Promise<string> {
  switch (target.type) {
    case "tcp":
      return reach({ host: target.host, port: target.port, timeoutMs: target.timeoutMs });
    case "door":
      return reachDoor({ ...target, host: target.host ?? LOOPBACK });
    case "interfaces":
      return (await interfaces()).join(",");
    case "dns":
      return (await import("./probe-datagrams.ts")).askNameServer(target.host, target.timeoutMs);
    case "broadcast":
      return (await import("./probe-datagrams.ts")).broadcast(target.port);
  }
}

interface Address {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
}

function reach(target: Address): Promise<string> {
  return attempt(target, (socket, settle) => {
    socket.once("connect", () => settle("connected"));
    socket.on("error", (error) => settle(answerOf(error)));
  });
}

/**
 * The relay accepts before it knows its door, so the connection alone proves nothing. We end our half: a door that is there
 * ends the other, one that is not resets.
 */
function reachDoor(target: Address): Promise<string> {
  return attempt(target, (socket, settle) => {
    socket.once("connect", () => socket.end());
    socket.on("data", () => settle("connected"));
    socket.once("end", () => settle("connected"));
    socket.on("error", (error) =>
      settle(systemCode(error) === "ECONNRESET" ? "refused" : answerOf(error)),
    );
  });
}

/** Connects, and answers with what `listen` settles on, or `timeout`. */
function attempt(
  target: Address,
  listen: (socket: Socket, settle: (answer: string) => void) => void,
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: target.host, port: target.port, allowHalfOpen: true });
    const settle = (answer: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(settle, target.timeoutMs, "timeout");
    listen(socket, settle);
  });
}

function answerOf(error: unknown): string {
  const code = systemCode(error);
  if (code === "ECONNREFUSED") return "refused";
  return code === "ETIMEDOUT" ? "timeout" : "unreachable";
}

async function interfaces(): Promise<readonly string[]> {
  const { networkInterfaces } = await import("node:os");
  const addressed = Object.keys(networkInterfaces());
  const names = new Set(addressed);
  for (const name of await deviceNames()) {
    if (!FALLBACK_DEVICE.test(name)) names.add(name);
  }
  return [...names].sort();
}

/** Every device of our network namespace, with or without an address. */
async function deviceNames(): Promise<readonly string[]> {
  try {
    const table = await readFile("/proc/net/dev", "latin1");
    return [...table.matchAll(/^\s*([^\s:|]+):/gm)].map((match) => match[1] ?? "");
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [];
  }
}
