// Attempts from a guest that shares a network with its bundle: the engine's resolver, the host, the rest of the bundle, another
// bottle. The host listens on every address meanwhile.
import { createSocket, type Socket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Bottle, openBackend } from "../../src/index.ts";
import { makeWorld, openIn } from "../support/bottle-world.ts";
import { testBase } from "../support/docker.ts";
import { docker } from "../support/docker-command.ts";
import { requires } from "../support/requires.ts";

const BOTTLE = [
  "attachment: internal",
  "agent_provider: { template: command, settings: { argv: [/bin/true] } }",
].join("\n");
const REACH = readFileSync(join(import.meta.dirname, "../fixtures/programs/reach.mjs"), "utf8");
const NOTHING = /^(silence|ENETUNREACH|EHOSTUNREACH|ECONNREFUSED|EADDRNOTAVAIL|EACCES|EINVAL)$/;

interface Attempt {
  readonly kind: "tcp" | "udp";
  readonly host: string;
  readonly port: number;
  readonly text?: string;
  readonly six?: boolean;
}

describe("a guest on its bottle's internal network", requires("docker"), () => {
  const heard: string[] = [];
  const came: string[] = [];
  const ends: (() => void)[] = [];
  let server: Server;
  let socket: Socket;
  let port: number;
  let one: Bottle;
  let two: Bottle;

  beforeAll(async () => {
    server = createServer((client) => {
      came.push(client.remoteAddress ?? "");
      client.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, "::", resolve));
    port = (server.address() as { port: number }).port;
    socket = createSocket("udp4");
    socket.on("message", (message) => heard.push(message.toString()));
    await new Promise<void>((resolve) => socket.bind(port, "0.0.0.0", resolve));
    [one, two] = await Promise.all([open(), open()]);
  }, 120_000);

  afterAll(async () => {
    await Promise.all([one, two].map((it) => it?.[Symbol.asyncDispose]()));
    server?.close();
    socket?.close();
    for (const end of ends) end();
  }, 60_000);

  async function open(): Promise<Bottle> {
    const world = makeWorld(BOTTLE, (remove) => ends.push(remove));
    const base = testBase();
    const env = { ...world.env, BOT_BOTTLE_IMAGE: base, BOT_BOTTLE_BASE_IMAGE: base };
    return openIn({ ...world, env }, { backend: await openBackend("docker") });
  }

  async function attempt(...attempts: readonly Attempt[]): Promise<readonly string[]> {
    const { stdout, stderr } = await one.exec([
      "node",
      "--input-type=module",
      "-e",
      REACH,
      JSON.stringify(attempts),
    ]);
    try {
      return JSON.parse(stdout.toString()) as string[];
    } catch {
      throw new Error(stderr.toString());
    }
  }

  const bundleOf = (bottle: Bottle): string => bottle.plan.guest.network?.bundleAddress ?? "";
  const gatewayOf = (bottle: Bottle): string => bottle.plan.guest.network?.gateway ?? "";

  const nobodyCame = (): void => {
    expect(came).toEqual([]);
    expect(heard).toEqual([]);
  };

  async function expectNothing(attempts: readonly Attempt[]): Promise<void> {
    const answers = await attempt(...attempts);
    attempts.forEach((it, index) => {
      expect(answers[index], `${it.kind} ${it.host}:${it.port}`).toMatch(NOTHING);
    });
    nobodyCame();
  }

  it("reaches its door, by address and by name", async () => {
    expect(
      await attempt(
        { kind: "tcp", host: bundleOf(one), port: 9099 },
        { kind: "tcp", host: "egress", port: 9099 },
      ),
    ).toEqual(["connected", "connected"]);
    const { stdout } = await one.exec(["sh", "-c", "echo $HTTPS_PROXY"]);
    expect(stdout.toString()).toBe(`http://${bundleOf(one)}:9099\n`);
  });

  it("is refused by its proxy what no route names", async () => {
    const argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://evil.example/"];
    expect((await one.exec(argv)).stdout.toString()).toBe("403");
  });

  it("finds no other port of the bundle", () =>
    expectNothing(
      [22, 53, 80, 443, 2375, 8888, 9100, 9418, 9420].map((other) => ({
        kind: "tcp",
        host: bundleOf(one),
        port: other,
      })),
    ));

  it("finds no address of the host, wherever it listens", () => {
    const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    const hosts = [
      gatewayOf(one),
      gatewayOf(two),
      ...own.filter((it) => it.family === "IPv4").map((it) => it.address),
    ];
    return expectNothing(hosts.map((host) => ({ kind: "tcp", host, port })));
  });

  it("finds nothing of another bottle, and not the bundle's way outside", () => {
    const names = [one, two].map((it) => `bot-bottle-sidecars-${it.id}`);
    const outside = names.flatMap((name) => addressesOf(name));
    const guest = addressesOf(`bot-bottle-${two.id}`);
    expect(outside.length).toBe(4);
    const hosts = [...outside.filter((it) => it !== bundleOf(one)), ...guest];
    return expectNothing(hosts.map((host) => ({ kind: "tcp", host, port: 9099 })));
  });

  it("finds nothing of the world", () =>
    expectNothing([
      { kind: "tcp", host: "1.1.1.1", port: 443 },
      { kind: "tcp", host: "10.0.0.1", port: 80 },
      { kind: "tcp", host: "169.254.169.254", port: 80 },
      { kind: "tcp", host: "2606:4700:4700::1111", port: 443 },
      { kind: "tcp", host: "fe80::1%eth0", port },
      { kind: "tcp", host: "::ffff:1.1.1.1", port: 443 },
    ]));

  it("gets no answer of a resolver, neither the engine's nor another", () =>
    expectNothing([
      { kind: "udp", host: "127.0.0.11", port: 53 },
      { kind: "udp", host: "127.0.0.1", port: 53 },
      { kind: "udp", host: gatewayOf(one), port: 53 },
      { kind: "udp", host: bundleOf(one), port: 53 },
      { kind: "udp", host: "8.8.8.8", port: 53 },
      { kind: "tcp", host: "8.8.8.8", port: 53 },
    ]));

  it("is heard by nobody when it calls to all", () =>
    expectNothing([
      { kind: "udp", host: "255.255.255.255", port, text: "to all" },
      { kind: "udp", host: gatewayOf(one).replace(/1$/, "255"), port, text: "to all here" },
      { kind: "udp", host: gatewayOf(one), port, text: "to the gateway" },
      { kind: "udp", host: "224.0.0.251", port, text: "to a group" },
      { kind: "udp", host: "ff02::1%eth0", port, text: "to all neighbours", six: true },
    ]));

  it("has no raw socket, no engine's socket, no device of a machine", async () => {
    const paths = "/var/run/docker.sock /run/docker.sock /dev/kvm /dev/vhost-vsock /dev/net/tun";
    const { stdout } = await one.exec(["sh", "-c", `ls ${paths} 2>/dev/null; cat /proc/net/raw`]);
    expect(stdout.toString()).not.toMatch(/docker|kvm|vsock|tun/);
    const ping = await one.exec(["sh", "-c", "grep CapEff /proc/self/status"]);
    expect(ping.stdout.toString()).toContain("0000000000000000");
  });

  it("has one interface, without IPv6", async () => {
    expect((await one.guest.probe({ type: "interfaces" })).split(",")).toHaveLength(2);
    expect((await one.exec(["cat", "/proc/net/if_inet6"])).stdout.toString()).toBe("");
  });

  it("leaves nothing on the engine", async () => {
    expect(await (await two.close()).gone).toEqual([]);
    const label = `label=bot-bottle.bottle=${two.id}`;
    expect(docker("network", "ls", "-q", "--filter", label)).toBe("");
    await vi.waitFor(() => expect(docker("ps", "-aq", "--filter", label)).toBe(""), 5_000);
  });
});

function addressesOf(container: string): readonly string[] {
  const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
  return docker("inspect", "-f", format, container)
    .split(" ")
    .filter((it) => it !== "");
}
