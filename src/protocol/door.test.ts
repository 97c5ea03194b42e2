import { describe, expect, it } from "vitest";
import { formatDoor, isFrom, parseDoor } from "./door.ts";

describe("a door's text", () => {
  it.each(["/run/bundle/doors/proxy.sock", "tcp:192.168.7.2:9099,from=192.168.7.0/24"])(
    "%s is read and written alike",
    (text) => expect(formatDoor(parseDoor(text))).toBe(text),
  );

  it.each([
    "",
    "proxy.sock",
    "tcp:9099",
    "tcp:egress:9099,from=192.168.7.0/24",
    "tcp:192.168.7.2:9099",
    "tcp:192.168.7.2:70000,from=192.168.7.0/24",
    "tcp:192.168.7.2:9099,from=192.168.7.0",
    "tcp:192.168.7.2:9099,from=192.168.7.0/33",
    "tcp:192.168.07.2:9099,from=192.168.7.0/24",
    "tcp:192.168.7.2:9099,from=192.168.7.0/24\n",
  ])("%j is refused", (text) => expect(() => parseDoor(text)).toThrow(/not a door/));
});

describe("who may connect", () => {
  it.each([
    ["192.168.7.3", true],
    ["::ffff:192.168.7.3", true],
    ["192.168.8.3", false],
    ["127.0.0.1", false],
    ["172.17.0.1", false],
    ["::1", false],
    ["fe80::1", false],
    [undefined, false],
  ])("%s: %s", (peer, expected) => expect(isFrom(peer, "192.168.7.0/24")).toBe(expected));

  it("is everyone of IPv4 with /0", () => expect(isFrom("203.0.113.9", "0.0.0.0/0")).toBe(true));
});
