/**
 * Where a door is for the guest: a socket's path, or `tcp:ADDRESS:PORT` where sockets cannot be mounted. The init door on TCP
 * names a file too: its content proves to the owner that the guest connects, and not a neighbour on the host.
 */
import { readFileSync, rmSync } from "node:fs";

const TCP = /^tcp:(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})(?::(\/.+))?$/;

/** What net.connect takes. */
export type DoorTarget =
  | { readonly path: string }
  | { readonly host: string; readonly port: number };

/** Reads a target; anything but the TCP form is a path. */
export function parseTarget(text: string): DoorTarget {
  const [, host, port] = TCP.exec(text) ?? [];
  return host === undefined ? { path: text } : { host, port: Number(port) };
}

/** The line with which the guest begins on TCP, taken from its file, which is then gone; empty for a socket's path. */
export function takeGreeting(text: string): string {
  const file = TCP.exec(text)?.[3];
  if (file === undefined) return "";
  const token = readFileSync(file, "utf8").trim();
  rmSync(file, { force: true });
  return `${token}\n`;
}
