/**
 * Where a daemon's door is, as text on the control pipe: a socket's path, or `tcp:ADDRESS:PORT,from=SUBNET`. Invariant: a TCP
 * door names one IPv4 address and the subnet that may connect; connections from anywhere else are cut before a byte is read.
 */
import { chmodSync, rmSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { ProtocolError } from "../base/errors.ts";
import { parseIpv4 } from "../policy/ip-address.ts";

/** Port of each door where doors are on TCP; in the guest the relays listen on the same ones. */
export const DOOR_PORTS = { proxy: 9099, git: 9420, supervise: 9100 } as const;

/** A door's place. */
export type Door =
  | { readonly kind: "socket"; readonly path: string }
  | {
      readonly kind: "tcp";
      readonly address: string;
      readonly port: number;
      /** Who may connect, CIDR. */
      readonly from: string;
    };

const TCP = /^tcp:([0-9.]+):([1-9][0-9]{0,4}),from=([0-9./]+)$/;

/** Writes a door as {@link parseDoor} reads it. */
export function formatDoor(door: Door): string {
  return door.kind === "socket" ? door.path : `tcp:${door.address}:${door.port},from=${door.from}`;
}

/** Reads a door. Throws ProtocolError for anything but an absolute path or a complete TCP form. */
export function parseDoor(text: string): Door {
  if (text.startsWith("/")) return { kind: "socket", path: text };
  const [, address = "", port = "", from = ""] = TCP.exec(text) ?? [];
  const isWhole =
    parseIpv4(address) !== undefined && Number(port) <= 65_535 && parseSubnet(from) !== undefined;
  if (isWhole) return { kind: "tcp", address, port: Number(port), from };
  throw new ProtocolError(
    "protocol.message",
    `not a door: "${text.slice(0, 100)}"; an absolute path or tcp:ADDRESS:PORT,from=SUBNET is expected`,
  );
}

interface Subnet {
  readonly base: number;
  readonly size: number;
}

function parseSubnet(text: string): Subnet | undefined {
  const [address = "", bits = "", ...rest] = text.split("/");
  const base = parseIpv4(address);
  if (base === undefined || rest.length > 0 || !/^(?:[0-9]|[12][0-9]|3[0-2])$/.test(bits))
    return undefined;
  const size = 2 ** (32 - Number(bits));
  return { base: base - (base % size), size };
}

/** Whether a peer's address lies in a subnet; IPv4 in its mapped form counts as IPv4, no other IPv6 address is in any. */
export function isFrom(peer: string | undefined, subnet: string): boolean {
  const address = parseIpv4((peer ?? "").replace(/^::ffff:/i, ""));
  const range = parseSubnet(subnet);
  if (address === undefined || range === undefined) return false;
  return address >= range.base && address < range.base + range.size;
}

/**
 * Puts a server behind its door; resolves when it accepts. A connection that may not be here is cut before the server hears
 * of it. Rejects with the system's error.
 */
export function openDoor(server: Server, door: Door): Promise<void> {
  if (door.kind === "tcp") guardPeers(server, door.from);
  // What a killed bundle left; a listening socket there would be another bundle of the same bottle, which cannot be.
  if (door.kind === "socket") rmSync(door.path, { force: true });
  return new Promise((resolve, reject) => {
    const onListening = (): void => {
      server.off("error", reject);
      if (door.kind === "socket") chmodSync(door.path, 0o666);
      resolve();
    };
    server.once("error", reject);
    if (door.kind === "socket") server.listen({ path: door.path }, onListening);
    else server.listen({ host: door.address, port: door.port }, onListening);
  });
}

/** Before every other listener, so that the server's parser meets a socket that is closed already. */
function guardPeers(server: Server, subnet: string): void {
  server.prependListener("connection", (socket: Socket) => {
    if (!isFrom(socket.remoteAddress, subnet)) socket.destroy();
  });
}
