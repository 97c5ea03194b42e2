// What an attacker would look for on the machine outside: listeners of every kind, each of which notes whoever comes.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { listen } from "./sink.ts";

/** Name of the abstract socket. */
export const ABSTRACT = `bot-bottle-attack-${process.pid}`;
/** Content of a file that every user of the machine can read. */
export const HOST_CANARY = "host-file-canary-7c41";

/** Listeners of the host; each notes whoever comes. */
export class AttackHost implements AsyncDisposable {
  readonly visits: string[] = [];
  readonly directory = mkdtempSync(join(tmpdir(), "bb-host-"));
  readonly #servers: Server[] = [];
  #udp: UdpSocket | undefined;
  readonly ports = new Map<string, number>();

  async open(): Promise<this> {
    for (const host of ["127.0.0.1", "0.0.0.0", "::1", "::"]) {
      await this.#tcp(host, { host, port: 0, ipv6Only: host.includes(":") });
    }
    await this.#tcp("abstract", `\0${ABSTRACT}`);
    await this.#tcp("file", join(this.directory, "host.sock"));
    writeFileSync(join(this.directory, "secret"), HOST_CANARY);
    const udp = createSocket("udp4");
    udp.on("message", (message) => this.visits.push(`udp ${message.toString()}`));
    await new Promise<void>((resolve) => udp.bind(0, "0.0.0.0", resolve));
    this.ports.set("udp", udp.address().port);
    this.#udp = udp;
    return this;
  }

  async #tcp(name: string, where: object | string): Promise<void> {
    const server = createServer((socket) => {
      this.visits.push(name);
      socket.on("error", () => undefined);
      socket.end("host");
    });
    try {
      await listen(server, where);
    } catch (error) {
      // A machine without IPv6 has no such listener to reach.
      if (name.includes(":")) return void error;
      throw error;
    }
    this.#servers.push(server);
    const address = server.address();
    if (typeof address === "object" && address !== null)
      this.ports.set(name, (address as AddressInfo).port);
  }

  /** Addresses of this machine beside loopback. */
  get addresses(): readonly string[] {
    return Object.values(networkInterfaces()).flatMap((list) =>
      (list ?? []).filter((it) => !it.internal).map((it) => it.address),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#udp?.close();
    for (const server of this.#servers) await new Promise((resolve) => server.close(resolve));
    rmSync(this.directory, { recursive: true, force: true });
  }
}
