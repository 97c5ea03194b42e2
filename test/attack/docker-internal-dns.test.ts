// The engine's resolver asks the host's when that one is on a loopback address. Such a host is made here: an engine of its own,
// in its own network, whose host asks a resolver of ours that writes down every question.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { openBackend } from "../../src/index.ts";
import { makeWorld, openIn } from "../support/bottle-world.ts";
import { testBase } from "../support/docker.ts";
import { requires } from "../support/requires.ts";

const REACH = readFileSync(join(import.meta.dirname, "../fixtures/programs/reach.mjs"), "utf8");
const ASK = JSON.stringify([{ kind: "udp", host: "127.0.0.11", port: 53 }]);
const BOTTLE = [
  "attachment: internal",
  "agent_provider: { template: command, settings: { argv: [/bin/true] } }",
].join("\n");

/** Answers "no such name" and prints the name. */
const RESOLVER = `
const socket = require("node:dgram").createSocket("udp4");
socket.on("message", (query, peer) => {
  console.log(query.subarray(12).toString("latin1").replace(/[^a-z0-9]/g, "."));
  query[2] |= 0x80;
  query[3] = 0x83;
  socket.send(query, peer.port, peer.address);
});
socket.bind(53, "127.0.0.1");
`;

const HOST = `
set -e
ip link set lo up
mount --make-rprivate /
mount --bind "$1/resolv.conf" /etc/resolv.conf
"$2" "$1/resolver.cjs" >"$1/questions" 2>&1 &
exec dockerd --config-file "$1/daemon.json" --data-root "$1/data" --exec-root "$1/exec" \
  --pidfile "$1/pid" -H "unix://$1/docker.sock" >"$1/dockerd.log" 2>&1
`;

describe("on a host with a resolver of its own", requires("docker", "root"), () => {
  const directory = mkdtempSync(join(tmpdir(), "dns-"));
  const DOCKER_HOST = `unix://${directory}/docker.sock`;
  let host: ChildProcess;
  let base: string;

  const docker = (...args: readonly string[]): string => {
    const stdio: ["ignore", "pipe", "pipe"] = ["ignore", "pipe", "pipe"];
    return execFileSync("docker", args, {
      encoding: "utf8",
      stdio,
      timeout: 60_000,
      env: { ...process.env, DOCKER_HOST },
    });
  };
  const questions = (): string => readFileSync(join(directory, "questions"), "utf8");

  beforeAll(async () => {
    base = testBase();
    mkdirSync(join(directory, "data"), { recursive: true });
    writeFileSync(join(directory, "resolv.conf"), "nameserver 127.0.0.1\n");
    writeFileSync(join(directory, "resolver.cjs"), RESOLVER);
    writeFileSync(join(directory, "daemon.json"), "{}");
    const argv = ["--net", "--mount", "sh", "-c", HOST, "sh", directory, process.execPath];
    host = spawn("unshare", argv, { stdio: "ignore", detached: true });
    await vi.waitFor(() => docker("version"), { timeout: 30_000, interval: 200 });
    execFileSync("sh", ["-c", 'docker save "$1" | docker -H "$2" load', "sh", base, DOCKER_HOST], {
      stdio: "ignore",
    });
  }, 120_000);

  afterAll(async () => {
    // The group: the resolver and the engine. The engine ends its containers before it goes.
    if (host?.pid !== undefined) process.kill(-host.pid, "SIGTERM");
    await new Promise((resolve) =>
      host.exitCode === null ? host.once("exit", resolve) : resolve(0),
    );
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }, 60_000);

  it("an ordinary container on an internal network has its questions carried outside", () => {
    docker("network", "create", "--internal", "leaky");
    const argv = ["run", "--rm", "--network", "leaky", base, "node", "--input-type=module", "-e"];
    expect(docker(...argv, REACH, ASK)).toBe('["answer 3"]');
    expect(questions()).toContain("leak.");
  }, 30_000);

  it("a guest gets no answer, and nobody hears its question", async () => {
    writeFileSync(join(directory, "questions"), "");
    const world = makeWorld(BOTTLE);
    const env = { ...world.env, DOCKER_HOST, BOT_BOTTLE_IMAGE: base, BOT_BOTTLE_BASE_IMAGE: base };
    const backend = await openBackend("docker");
    await using bottle = await openIn({ ...world, env }, { backend });
    const { stdout } = await bottle.exec(["node", "--input-type=module", "-e", REACH, ASK]);
    expect(stdout.toString()).toMatch(/^\["(silence|ECONNREFUSED)"\]$/);
    expect(questions()).not.toMatch(/leak|bot.bottle.probe/);
  }, 60_000);
});
