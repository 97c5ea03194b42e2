import { describe, expect, it } from "vitest";
import { parseListeners } from "./listeners.ts";

const TABLE = `  sl  local_address rem_address   st tx_queue rx_queue
   0: 1000007F:2381 00000000:0000 0A 00000000:00000000 00:00000000
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000
   2: 0100007F:9C40 0100007F:2381 01 00000000:00000000 00:00000000
`;
const TABLE6 = `  sl  local_address                         remote_address st
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 0000000000000000FFFF00001100007F:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
`;

describe("listening sockets", () => {
  it("are those that wait for connections", () => {
    expect(parseListeners(TABLE)).toEqual([
      { address: "127.0.0.16", port: 9089 },
      { address: "0.0.0.0", port: 22 },
    ]);
  });

  it("of IPv6 count where IPv4 reaches them", () => {
    expect(parseListeners(TABLE6)).toEqual([
      { address: "0.0.0.0", port: 8080 },
      { address: "127.0.0.17", port: 80 },
    ]);
  });

  it("are none in what is no such table", () => {
    expect(parseListeners("nonsense\n1 2 3 0A\n\n")).toEqual([]);
  });
});
