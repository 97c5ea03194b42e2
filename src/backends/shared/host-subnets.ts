/** Subnets that the host has routes to. Linux tells in /proc; elsewhere the engine's own list has to do. */
import { readFileSync } from "node:fs";
import { systemCode } from "../../base/errors.ts";

/** IPv4 subnets of the host's routes, CIDR, the default route left out. */
export function hostSubnets(): readonly string[] {
  return parseRoutes(readRoutes());
}

function readRoutes(): string {
  try {
    return readFileSync("/proc/net/route", "utf8");
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return "";
  }
}

/** IPv4 subnets of a /proc/net/route, the default route left out. Pure. */
export function parseRoutes(text: string): readonly string[] {
  return text.split("\n").flatMap((line) => {
    const [, destination = "", , , , , , mask = ""] = line.trim().split(/\s+/);
    if (!/^[0-9A-F]{8}$/i.test(destination) || !/^[0-9A-F]{8}$/i.test(mask)) return [];
    const bits = Number.parseInt(mask, 16).toString(2).replaceAll("0", "").length;
    // Each address is written as the number that it is in memory: last byte first.
    const address = Buffer.from(destination, "hex").reverse().join(".");
    return bits === 0 ? [] : [`${address}/${bits}`];
  });
}
