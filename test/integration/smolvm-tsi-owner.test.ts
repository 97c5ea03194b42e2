// Filtered guests of an owner in a process of its own: on a terminal, whose size is brought to the guest, and killed.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import type { GuestResources } from "../../src/backends/contract.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import { isAlive } from "../../src/process/identity.ts";
import { readHomeId } from "../../src/process/ownership.ts";
import { createExec } from "../../src/process/spawn.ts";
import { testBase } from "../support/docker.ts";
import { docker } from "../support/docker-command.ts";
import { requires } from "../support/requires.ts";
import { type SmolvmTsi, startSmolvmTsi } from "../support/smolvm-tsi.ts";
import { tempDir } from "../support/temp-dir.ts";
import { openTsi, packingEnv } from "../support/tsi-bottle.ts";

const root = join(import.meta.dirname, "../..");
const PROGRAMS = join(root, "test/fixtures/programs");
const cacheDir = tempDir("tsi-cache-");
let smolvm: SmolvmTsi;

function ownerArgv(directory: string, argv: readonly string[]): string[] {
  const options = {
    argv,
    cacheDir,
    env: packingEnv(),
    image: testBase(),
    smolvm: smolvm.program,
    guestInit: join(root, "dist/guest-init.js"),
    hostUid: 2_000_000_077,
  };
  return [process.execPath, join(PROGRAMS, "tsi-owner.ts"), directory, JSON.stringify(options)];
}

const LOOK = `stty size; echo "[$TOKEN]"; id -un; until [ "$(stty size)" = "50 100" ]; do stty size; sleep 0.3; done; echo over; exit 7`;
/** A terminal that has a size, and another one as soon as the guest has seen the first. */
const RESIZE = `stty rows 40 cols 132; (until [ -e "$1/seen" ]; do sleep 0.2; done; stty rows 50 cols 100) </dev/tty >/dev/null 2>&1 & shift; exec "$@"`;

/** Fails the test with what is not there when its time is over. */
function appears(file: string): Promise<void> {
  return vi.waitFor(() => expect(existsSync(file)).toBe(true), { timeout: 90_000, interval: 100 });
}

/** The first test of a file packs an image, which a busy machine does for a minute. */
const OPTIONS = { ...requires("docker", "root", "bwrap", "python3"), timeout: 180_000 };

describe("the owner of a filtered guest", OPTIONS, () => {
  beforeAll(async () => {
    smolvm = await startSmolvmTsi();
  });
  afterAll(() => smolvm[Symbol.asyncDispose]());

  it("may be killed: what its record names is found and removed", async () => {
    const directory = tempDir("tsi-owner-");
    const argv = ownerArgv(directory, ["/bin/sleep", "300"]);
    const owner: ChildProcess = spawn(argv[0] ?? "", argv.slice(1), { stdio: "ignore" });
    await appears(join(directory, "launched"));
    owner.kill("SIGKILL");
    await new Promise((done) => owner.once("close", done));
    const resources = JSON.parse(
      readFileSync(join(directory, "resources.json"), "utf8"),
    ) as GuestResources;
    const [machine] = resources.processes;
    if (machine === undefined) throw new Error("no process was recorded");
    expect(isAlive(machine)).toBe(true);
    const [container = ""] = resources.objects["smolvm-pack-container"] ?? [];
    const [network = ""] = resources.objects["smolvm-pack-network"] ?? [];
    const homeId = readHomeId(cacheDir);
    const labelled = (home: string): string[] =>
      ["bottle=test", `home=${home}`].flatMap((it) => ["--label", `bot-bottle.${it}`]);
    docker("network", "create", ...labelled(homeId ?? ""), network);
    docker("create", "--name", container, ...labelled(homeId ?? ""), testBase(), "true");
    const [, theirs = ""] = resources.objects["smolvm-pack-container"] ?? [];
    const other = docker("create", "--name", theirs, ...labelled("theirs"), testBase(), "true");
    onTestFinished(() => void docker("rm", other));
    const ports = {
      exec: createExec({ log: silentLogger }),
      clock: systemClock,
      log: silentLogger,
      searchPath: "/usr/bin:/bin",
      env: process.env,
      homeId,
    };
    await openTsi().reap(resources, ports);
    await openTsi().reap(resources, ports);
    expect(isAlive(machine)).toBe(false);
    expect(resources.objects["smolvm-state"]?.filter(existsSync)).toEqual([]);
    expect(resources.objects["smolvm-base"]?.filter(existsSync)).toEqual([]);
    expect(docker("ps", "-aq", "--filter", `name=${container}`)).toBe("");
    expect(docker("network", "ls", "-q", "--filter", `name=${network}`)).toBe("");
    expect(docker("ps", "-aq", "--no-trunc", "--filter", `name=${theirs}`)).toBe(other);
    await vi.waitFor(() => expect(smolvm.running).toBe(0));
  });

  it("brings its terminal and the terminal's size to the guest", async () => {
    const directory = tempDir("tsi-owner-");
    mkdirSync(join(directory, "home"));
    // The first size is seen in the guest's home, which is ours: then the terminal changes.
    const look = LOOK.replace(
      "do stty size;",
      'do stty size; [ "$(stty size)" = "40 132" ] && touch ~/seen;',
    );
    const argv = ownerArgv(directory, ["/bin/sh", "-c", look]);
    const play = [
      ["0 0", ""],
      ["40 132", ""],
      ["over", ""],
    ];
    const shell = ["/bin/sh", "-c", RESIZE, "sh", join(directory, "home"), ...argv];
    const child = spawn("python3", [join(PROGRAMS, "on-terminal.py"), ...shell], {
      env: { PATH: process.env["PATH"], PLAY: JSON.stringify(play), HOME: "/nonexistent" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let printed = "";
    child.stdout?.on("data", (chunk: Buffer) => (printed += chunk.toString()));
    await new Promise((done) => child.once("close", done));
    const { status, output, restored } = JSON.parse(printed) as {
      status: number;
      output: string;
      restored: boolean;
    };
    expect(output).toContain("[it's $HOME's]");
    expect(output).toContain("node");
    const sizes = [...new Set(output.match(/^\d+ \d+/gm))];
    expect(sizes).toEqual(["0 0", "40 132"]);
    expect(status).toBe(7);
    expect(restored).toBe(true);
    const args = JSON.stringify(smolvm.calls.map((call) => call.args));
    expect(args).not.toContain("$HOME's");
    expect(smolvm.running).toBe(0);
  });
});
