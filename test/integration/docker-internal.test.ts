// Bottles on an internal network that fail while both of their containers come up: whoever fails, nothing is left on the engine.
import { afterAll, describe, expect, it } from "vitest";
import { type Backend, openBackend } from "../../src/index.ts";
import { makeWorld, openIn, type World } from "../support/bottle-world.ts";
import { testBase } from "../support/docker.ts";
import { docker, dockerRaw } from "../support/docker-command.ts";
import { requires } from "../support/requires.ts";

const BOTTLE = [
  "attachment: internal",
  "agent_provider: { template: command, settings: { argv: [/bin/true] } }",
].join("\n");
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

  const left = (label: string): string =>
    docker("ps", "-aq", "--filter", `name=${label}`) +
    docker("network", "ls", "-q", "--filter", `name=${label}`);

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
    expect(left("late")).toBe("");
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
      expect(left("no-net")).toBe("");
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
    expect(left("no-guest")).toBe("");
  });
});
