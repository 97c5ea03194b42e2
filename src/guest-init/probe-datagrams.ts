/** Probes that send a datagram from inside the guest: a name server that must not answer, a broadcast that nobody must hear. */

import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { systemCode } from "../base/errors.ts";

const DNS_PORT = 53;
const HEADER_BYTES = 12;
/** Low bits of the fourth byte of an answer. */
const RCODE_MASK = 0x0f;
/** SERVFAIL and REFUSED: what a resolver says that asked nobody. Every other code was learnt from somewhere. */
const UNHELPFUL: ReadonlySet<number> = new Set([2, 5]);

/** `answered`, `refused`, `unreachable` or `timeout`. The name is one that no server of the world has (RFC 6761). */
export function askNameServer(host: string, timeoutMs: number): Promise<string> {
  const socket = createSocket("udp4");
  const query = encodeQuery(["bot-bottle-probe", randomBytes(8).toString("hex"), "invalid"]);
  return new Promise((resolve) => {
    const settle = (answer: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(settle, timeoutMs, "timeout");
    socket.on("message", (message) => {
      const isOurs = message.length >= HEADER_BYTES && message[0] === query[0];
      if (isOurs) settle(UNHELPFUL.has((message[3] ?? 0) & RCODE_MASK) ? "refused" : "answered");
    });
    socket.on("error", (error) =>
      settle(systemCode(error) === "ECONNREFUSED" ? "refused" : "unreachable"),
    );
    // Without a route the callback gets an error, which Node's types do not tell.
    socket.connect(DNS_PORT, host, (...failure: readonly unknown[]) => {
      if (failure[0] instanceof Error) settle("unreachable");
      else socket.send(query);
    });
  });
}

/** A standard query for the address of a name. */
function encodeQuery(labels: readonly string[]): Buffer {
  const id = randomBytes(2);
  const header = Buffer.from([id[0] ?? 0, id[1] ?? 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const name = labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  return Buffer.concat([header, ...name, Buffer.from([0, 0, 1, 0, 1])]);
}

/** `sent`, or `unreachable` where the system has no way for it. */
export function broadcast(port: number): Promise<string> {
  const socket = createSocket("udp4");
  return new Promise((resolve) => {
    const settle = (answer: string): void => {
      socket.close();
      resolve(answer);
    };
    socket.on("error", () => settle("unreachable"));
    socket.bind(0, () => {
      socket.setBroadcast(true);
      socket.send("bot-bottle-probe", port, "255.255.255.255", (error) =>
        settle(error === null ? "sent" : "unreachable"),
      );
    });
  });
}
