// What a guest on a network with its bundle is refused for: each way out, one at a time.
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import type { Guest, NetworkPlan, ProbeTarget } from "../../src/backends/contract.ts";
import { verifyInternal } from "../../src/bottle/verify-internal.ts";

const network: NetworkPlan = {
  name: "bot-bottle-net-x",
  subnet: "192.168.40.0/24",
  gateway: "192.168.40.1",
  bundleAddress: "192.168.40.2",
};

type Answers = (target: ProbeTarget) => string | undefined;

/** A guest that answers as told, and otherwise as an isolated one. */
const verify = (answers: Answers = () => undefined): Promise<void> => {
  const probe: Guest["probe"] = (target) =>
    Promise.resolve(
      answers(target) ??
        {
          interfaces: "eth0,lo",
          dns: "timeout",
          broadcast: "sent",
          tcp:
            target.type === "tcp" && target.host === network.bundleAddress
              ? "refused"
              : "unreachable",
          door: "refused",
        }[target.type],
    );
  return verifyInternal(network, { probe }, Promise.resolve());
};

const isTo = (target: ProbeTarget, host: string): boolean =>
  target.type === "tcp" && target.host === host;

describe("a guest that shares a network with its bundle", () => {
  it("is let through when nothing answers", async () => {
    await expect(verify()).resolves.toBeUndefined();
    await expect(verify((it) => (isTo(it, "192.0.2.1") ? "timeout" : undefined))).resolves.toBe(
      undefined,
    );
  });

  it.each<[string, Answers, RegExp]>([
    ["a second interface", (it) => (it.type === "interfaces" ? "eth0,eth1,lo" : undefined), /eth1/],
    ["no interface of the network", (it) => (it.type === "interfaces" ? "lo" : undefined), /lo$/],
    [
      "the host at the gateway",
      (it) => (isTo(it, "192.168.40.1") ? "connected" : undefined),
      /40\.1:/,
    ],
    [
      "another port of the bundle",
      (it) => (it.type === "tcp" && it.port === 8888 ? "connected" : undefined),
      /40\.2:8888/,
    ],
    [
      "a bundle that is not there, so that silence means nothing",
      (it) => (isTo(it, "192.168.40.2") ? "timeout" : undefined),
      /40\.2:/,
    ],
    ["the world", (it) => (isTo(it, "192.0.2.1") ? "connected" : undefined), /192\.0\.2\.1/],
    [
      "the metadata service",
      (it) => (isTo(it, "169.254.169.254") ? "connected" : undefined),
      /169\.254/,
    ],
    [
      "IPv6 that only does not answer",
      (it) => (isTo(it, "fe80::1%eth0") ? "timeout" : undefined),
      /fe80/,
    ],
    [
      "a resolver that knows names of the world",
      (it) => (it.type === "dns" ? "answered" : undefined),
      /resolver/,
    ],
    ["an answer that is none", (it) => (it.type === "tcp" ? "perhaps" : undefined), /perhaps/],
  ])("is refused with %s", (_what, answers, reason) =>
    expect(verify(answers)).rejects.toThrow(reason),
  );

  it("is refused when the host was reached, whatever the guest says of it", async () => {
    const here = { ...network, subnet: "127.77.0.0/24", gateway: "127.0.0.1" };
    const probe: Guest["probe"] = async (target) => {
      if (target.type === "interfaces") return "eth0,lo";
      if (target.type !== "tcp") return "timeout";
      if (target.host === here.bundleAddress) return "refused";
      if (target.host === here.gateway) {
        const from = { localAddress: "127.77.0.128" };
        const socket = connect({ host: target.host, port: target.port, ...from });
        await new Promise((resolve) => socket.once("connect", resolve));
        socket.destroy();
      }
      return "unreachable";
    };
    await expect(verifyInternal(here, { probe }, Promise.resolve())).rejects.toThrow(
      /the host was reached from 127\.77\.0\.128/,
    );
  });

  it("is refused when the host hears what it calls to all", async () => {
    const socket = createSocket("udp4");
    const probe: Guest["probe"] = async (target) => {
      if (target.type === "interfaces") return "eth0,lo";
      if (target.type === "broadcast")
        await new Promise((resolve) => socket.send("all", target.port, "127.0.0.1", resolve));
      return isTo(target, network.bundleAddress) ? "refused" : "unreachable";
    };
    const called = verifyInternal(network, { probe }, Promise.resolve());
    await expect(called).rejects.toThrow(/broadcast/);
    socket.close();
  });

  it("is not tried before the bundle is on the network", async () => {
    const asked: ProbeTarget[] = [];
    const joined = Promise.withResolvers<void>();
    const probe: Guest["probe"] = (target) => {
      asked.push(target);
      return Promise.resolve(target.type === "interfaces" ? "eth0,lo" : "unreachable");
    };
    const proof = verifyInternal(network, { probe }, joined.promise);
    const leadsThere = (it: ProbeTarget): boolean =>
      it.type === "dns" || isTo(it, network.bundleAddress);
    expect(asked.some(leadsThere)).toBe(false);
    joined.reject(new Error("no bundle"));
    await expect(proof).rejects.toThrow("no bundle");
  });
});
