import { describe, expect, it } from "vitest";
import type { DoorPlan } from "../backends/contract.ts";
import { parseGuestPath } from "../base/ids.ts";
import { caEnv } from "./ca.ts";
import { guestEtc } from "./etc.ts";
import { gitConfigFile } from "./git-identity.ts";
import { proxyEnv } from "./proxy-env.ts";

const PROXY: DoorPlan = { name: "proxy", port: 9099, hostname: "egress" };
const GIT: DoorPlan = { name: "git", port: 9420, hostname: "git-gate" };
const SUPERVISE: DoorPlan = { name: "supervise", port: 9100, hostname: "supervise" };
const DIRECT = "localhost,127.0.0.1,::1,egress,git-gate,supervise";

describe("proxyEnv", () => {
  it("leads programs to the proxy and around it to the doors", () => {
    expect(proxyEnv([PROXY, GIT, SUPERVISE])).toEqual({
      HTTP_PROXY: "http://egress:9099",
      HTTPS_PROXY: "http://egress:9099",
      http_proxy: "http://egress:9099",
      https_proxy: "http://egress:9099",
      WSS_PROXY: "http://egress:9099",
      wss_proxy: "http://egress:9099",
      NO_PROXY: DIRECT,
      no_proxy: DIRECT,
      NODE_USE_ENV_PROXY: "1",
      GIT_GATE_URL: "http://git-gate:9420",
      MCP_SUPERVISE_URL: "http://supervise:9100/",
    });
  });

  it("names no door that does not exist", () => {
    expect(Object.keys(proxyEnv([PROXY]))).not.toContain("GIT_GATE_URL");
    expect(proxyEnv([])).toEqual({});
  });

  it("keeps a door at another address off the proxy", () => {
    const door: DoorPlan = { ...GIT, hostname: "127.87.0.9" };
    expect(proxyEnv([PROXY, door])["NO_PROXY"]).toBe(`${DIRECT},127.87.0.9`);
  });
});

describe("caEnv", () => {
  it("gives our authority alone to programs that add, the merged bundle to programs that replace", () => {
    const env = caEnv({ own: "/own.pem", merged: "/merged.pem" });
    const named = (path: string): string[] => Object.keys(env).filter((it) => env[it] === path);
    expect(named("/own.pem")).toEqual(["NODE_EXTRA_CA_CERTS", "DENO_CERT"]);
    expect(named("/merged.pem")).toEqual([
      "SSL_CERT_FILE",
      "REQUESTS_CA_BUNDLE",
      "CURL_CA_BUNDLE",
      "GIT_SSL_CAINFO",
      "PIP_CERT",
      "CODEX_CA_CERTIFICATE",
      "CARGO_HTTP_CAINFO",
      "AWS_CA_BUNDLE",
    ]);
  });
});

describe("guestEtc", () => {
  const etc = guestEtc({ hostname: "demo-1", doors: [PROXY, GIT] });

  it("knows the guest's user and no other person", () => {
    expect(etc["passwd"]).toContain("node:x:1000:1000:node:/home/node:/bin/bash\n");
    expect(etc["passwd"]?.split("\n")).toHaveLength(4);
  });

  it("resolves the doors and the guest's own name, and asks no server", () => {
    expect(etc["hosts"]).toContain("127.0.0.1 egress\n");
    expect(etc["hosts"]).toContain("127.0.0.1 git-gate\n");
    expect(etc["hosts"]).toContain("127.0.0.1 demo-1\n");
    expect(etc["hosts"]).not.toContain("supervise");
    expect(etc["nsswitch.conf"]).toContain("hosts: files\n");
    expect(etc["resolv.conf"]).not.toContain("nameserver");
  });

  it("lets git work in the workspace and has no login script", () => {
    expect(etc["gitconfig"]).toContain('directory = "/home/node/workspace"');
    expect(etc["profile"]).toBeUndefined();
  });
});

describe("gitConfigFile", () => {
  const home = parseGuestPath("/home/node");
  const none = { name: undefined, email: undefined };

  it("lays the agent's identity over the bottle's, field by field", () => {
    const file = gitConfigFile(home, {
      bottle: { name: "Bottle", email: "b@example.com" },
      agent: { name: 'A "quoted" \\ name', email: " " },
    });
    expect(file).toEqual({
      path: "/home/node/.gitconfig",
      mode: 0o644,
      content: '[user]\n\tname = "A \\"quoted\\" \\\\ name"\n\temail = "b@example.com"\n',
    });
  });

  it("is absent without an identity", () => {
    expect(gitConfigFile(home, { bottle: none, agent: none })).toBeUndefined();
  });

  it.each(["x\n[core]\n\tsshCommand = evil", "x\ry", "x\0y", "x\u0085y"])(
    "refuses a control character: %j",
    (name) => {
      expect(() =>
        gitConfigFile(home, { bottle: { name, email: undefined }, agent: none }),
      ).toThrow("control character");
    },
  );
});
