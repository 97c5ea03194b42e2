// Bottles on an internal network, from their start to what is left of them: nothing, whoever fails while both containers come up, and
// however soon their end is told.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { type Backend, openBackend } from "../../src/index.ts";
import { makeWorld, openIn, type World } from "../support/bottle-world.ts";
import { testBase } from "../support/docker.ts";
import { docker, dockerRaw } from "../support/docker-command.ts";
import { requires } from "../support/requires.ts";

const BOTTLE = [
  "attachment: internal",
  "agent_provider: { template: command, settings: { argv: [/bin/true] } }",
].join("\n");
const MAIN = join(import.meta.dirname, "../../src/cli/main.ts");
const TAG = `bot-bottle-test-late:${process.pid}`;
/** A bundle that fails when its guest has long come up. */
const LATE = [
  "FROM $base",
  "USER root",
  "RUN mkdir -p /app && echo 'sleep 3; exit 7' >/app/init.sh",
];

describe("a bottle on an internal network", requires("docker"), () => {
  const ends: (() => void)[] = [];
  afterAll(() => {
    for (const end of ends) end();
  });

  function world(more: Readonly<Record<string, string>> = {}, setting = ""): World {
    const made = makeWorld(`${BOTTLE}\n${setting}`, (remove) => ends.push(remove));
    const base = testBase();
    const images = { BOT_BOTTLE_IMAGE: base, BOT_BOTTLE_BASE_IMAGE: base };
    return { ...made, env: { ...made.env, ...images, ...more } };
  }

  const networks = (label: string): string =>
    docker("network", "ls", "-q", "--filter", `name=${label}`);
  /** Networks are gone at once; a container that ended is removed by the engine in its own time. */
  async function expectNothing(label: string): Promise<void> {
    expect(networks(label)).toBe("");
    const containers = () => docker("ps", "-aq", "--filter", `name=${label}`);
    await vi.waitFor(() => expect(containers()).toBe(""), { timeout: 10_000 });
  }

  it("is told that its bundle's image is missing, not what is missing without it", async () => {
    const missing = world({ BOT_BOTTLE_SIDECAR_IMAGE: "bot-bottle-none:1" });
    const backend = await openBackend("docker");
    await expect(openIn(missing, { backend }, { label: "no-image" })).rejects.toMatchObject({
      code: "launch.image",
      message: expect.stringContaining('"bot-bottle-none:1" was not found'),
      hint: expect.stringContaining("BOT_BOTTLE_SIDECAR_IMAGE"),
    });
    await expectNothing("no-image");
  });

  it("takes its guest off the network when its bundle fails", async () => {
    const input = LATE.join("\n").replace("$base", testBase());
    dockerRaw(["build", "-q", "-t", TAG, "-"], input);
    ends.push(() => void docker("rmi", TAG));
    const backend = await openBackend("docker");
    const opening = openIn(
      world({ BOT_BOTTLE_SIDECAR_IMAGE: TAG }),
      { backend },
      { label: "late" },
    );
    await expect(opening).rejects.toMatchObject({ code: "sidecar.start" });
    await expectNothing("late");
  });

  it("is told to have ended before the engine has removed it, and its name can be had again at once", async () => {
    const [backend, own] = [await openBackend("docker"), world()];
    const first = await openIn(own, { backend }, { label: "again" });
    const report = await first.close();
    expect(report.failures).toEqual([]);
    const second = await openIn(own, { backend }, { label: "again" });
    expect(await report.gone).toEqual([]);
    const { stdout } = await second.exec([
      "/bin/sh",
      "-c",
      "curl -s -x $HTTPS_PROXY http://e.test/",
    ]);
    expect(stdout.toString()).toContain("egress: host-not-allowed");
    expect(await (await second.close()).gone).toEqual([]);
    await expectNothing("again");
  });

  it("has left nothing on the engine when its owner's process has ended", async () => {
    const { home, env, project } = world();
    const args = [
      "start",
      "worker",
      "--headless",
      "--yes",
      "--backend",
      "docker",
      "--label",
      "swept",
    ];
    const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
      cwd: project,
      env: { ...env, BOT_BOTTLE_HOME: home.home },
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([0, expect.stringContaining("audit log ends at")]);
    expect(stderr).not.toContain("left over");
    await expectNothing("swept");
  });

  it(
    "is refused under a gVisor that gives its containers no network",
    requires("runsc"),
    async () => {
      const backend = await openBackend("docker");
      const asked = world({}, "runtime: runsc");
      await expect(openIn(asked, { backend }, { label: "no-net" })).rejects.toMatchObject({
        code: "host.backend-unavailable",
        message: expect.stringContaining("registered with --network=none"),
      });
      await expectNothing("no-net");
    },
  );

  it("takes its bundle along when its guest is not isolated", async () => {
    const real = await openBackend("docker");
    const backend: Backend = {
      ...real,
      launch: async (plan, context) => {
        const guest = await real.launch(plan, context);
        guest.inspectIsolation = () => Promise.resolve(["something is wrong"]);
        return guest;
      },
    };
    const opening = openIn(world(), { backend }, { label: "no-guest" });
    await expect(opening).rejects.toMatchObject({ code: "launch.not-isolated" });
    await expectNothing("no-guest");
  });
});
