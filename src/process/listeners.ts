/** Which TCP ports of this machine somebody listens on. Linux tells in /proc; elsewhere nothing is known. */
import { readFileSync } from "node:fs";
import { systemCode } from "../base/errors.ts";

const LISTEN = "0A";
const IPV4_DIGITS = 8;
/** Beginnings of IPv6 addresses that stand for IPv4 ones: none given, and mapped ones. */
const MAPPED = "0000000000000000FFFF0000";
const ANY_IPV6 = "0".repeat(32);

/** One listening socket that IPv4 connections reach; `0.0.0.0` listens on every address. */
export interface Listener {
  readonly address: string;
  readonly port: number;
}

/** All listening sockets; undefined where the system does not tell. */
export function readListeners(): readonly Listener[] | undefined {
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(readText);
  if (tables[0] === undefined) return undefined;
  return tables.flatMap((table) => parseListeners(table ?? ""));
}

/** Listening sockets in a table of /proc/net. Pure. */
export function parseListeners(table: string): readonly Listener[] {
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    const [address = "", port = ""] = local.split(":");
    const text = parseAddress(address);
    if (state !== LISTEN || text === undefined || !/^[0-9A-F]{4}$/.test(port)) return [];
    return [{ address: text, port: Number.parseInt(port, 16) }];
  });
}

/** Each IPv4 address is written as the number that it is in memory: last byte first. */
function parseAddress(hex: string): string | undefined {
  if (hex === ANY_IPV6) return "0.0.0.0";
  const digits = hex.startsWith(MAPPED) ? hex.slice(MAPPED.length) : hex;
  if (digits.length !== IPV4_DIGITS || !/^[0-9A-F]+$/.test(digits)) return undefined;
  return Buffer.from(digits, "hex").reverse().join(".");
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
