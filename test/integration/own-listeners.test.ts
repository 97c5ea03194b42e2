// Listeners that say who came: everybody who did so before they were asked, and never ourselves.
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { Scope } from "../../src/base/scope.ts";
import { listenForConnections, listenForDatagrams } from "../../src/bottle/own-listeners.ts";

const LOOPBACK = "127.0.0.1";

describe("a listener of ours", () => {
  it("hears nobody where nobody came", async () => {
    await using scope = new Scope();
    for (const listen of [listenForConnections, listenForDatagrams])
      expect(await (await listen(scope)).strangers()).toEqual([]);
  });

  it("tells of connections that were made just before it was asked", async () => {
    await using scope = new Scope();
    const listener = await listenForConnections(scope);
    for (const localAddress of ["127.0.0.2", "127.0.0.3"]) {
      const socket = connect({ host: LOOPBACK, port: listener.port, localAddress });
      await new Promise((resolve) => socket.once("connect", resolve));
      socket.destroy();
    }
    expect((await listener.strangers()).map((who) => who.split(":")[0])).toEqual([
      "127.0.0.2",
      "127.0.0.3",
    ]);
  });

  it("tells of datagrams, and takes none for its own", async () => {
    await using scope = new Scope();
    const listener = await listenForDatagrams(scope);
    const socket = createSocket("udp4");
    scope.defer("sender", () => void socket.close());
    for (const text of ["one", ""])
      await new Promise((resolve) => socket.send(text, listener.port, LOOPBACK, resolve));
    expect(await listener.strangers()).toEqual([LOOPBACK, LOOPBACK]);
  });
});
