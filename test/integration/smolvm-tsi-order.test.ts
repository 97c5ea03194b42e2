// The order in which a bottle with attachment tsi comes up and goes: calls of the engine's API and of smolvm in one list.
import { createServer } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { openBottle } from "../../src/index.ts";
import { makeWorld, planIn } from "../support/bottle-world.ts";
import { imageEnv, testBase } from "../support/docker.ts";
import { type EngineRequest, relayEngine } from "../support/engine-relay.ts";
import { requires } from "../support/requires.ts";
import { type SmolvmCall, startSmolvmTsi } from "../support/smolvm-tsi.ts";
import { openTsi, packingEnv } from "../support/tsi-bottle.ts";

const BOTTLE =
  "agent_provider: { template: command, settings: { argv: [/bin/sh, -c, exit 0] } }\nbackend: smolmachines\nattachment: tsi";
/** What changes something; looking at things may be repeated in any order. */
const CHANGES = /^(?:POST|DELETE) |^GET \/images\/get/;
const NOISE = /\/(?:wait|attach)$/;

function engineLine({ line }: EngineRequest): string {
  return `engine  ${line}`.replace(/[0-9a-f]{64}/, "ID").replace(/worker-[a-z0-9]{5}/g, "SLUG");
}

function smolvmLine({ args }: SmolvmCall): string {
  const script = args.indexOf("-c");
  const shown = script < 0 ? args : [...args.slice(0, script), scriptName(args, script)];
  return `smolvm  ${shown.join(" ")}`
    .replace(/worker-[a-z0-9]{5}/g, "SLUG")
    .replace(/\/tmp\/\S*\/\d+-/g, ".../")
    .replace(/localhost:\d+\/bot-bottle:[0-9a-f]{16}/, "localhost:PORT/bot-bottle:DIGEST")
    .replace(/[0-9a-f]{16}-smolvm/, "DIGEST-smolvm")
    .replace(/env-[0-9a-f]{16}/g, "env-RANDOM")
    .replace(/127\.0\.0\.\d+\/32/, "ALIAS/32")
    .replace(/--cpus \d+ --mem \d+/, "--cpus N --mem N");
}

const scriptName = (args: readonly string[], at: number): string =>
  `[${args[at + 2] ?? args[at + 1]}]`;

/** The first test of a file packs an image, which a busy machine does for a minute. */
const OPTIONS = { ...requires("docker", "root", "bwrap"), timeout: 180_000 };

describe("a bottle with attachment tsi", OPTIONS, () => {
  it("comes up and goes in this order", async () => {
    await using smolvm = await startSmolvmTsi({ kills: 0 });
    await using relay = await relayEngine();
    const world = makeWorld(BOTTLE);
    const env = {
      ...world.env,
      ...imageEnv(),
      ...packingEnv(),
      BOT_BOTTLE_SMOLVM: smolvm.program,
      BOT_BOTTLE_IMAGE: testBase(),
      DOCKER_HOST: relay.host,
    };
    const plan = await planIn({ ...world, env: env as Record<string, string> }, {});
    expect(smolvm.calls).toEqual([]);
    expect(relay.requests.map(({ line }) => line).filter((line) => CHANGES.test(line))).toEqual([]);
    const bottle = await openBottle(plan, { env, backend: openTsi() });
    const { gone } = await bottle.close();
    expect(await gone).toEqual([]);
    const engine = relay.requests
      .filter(
        ({ line }) =>
          CHANGES.test(line) && !NOISE.test(line) && !/build|images\/.*\/tag/.test(line),
      )
      .map((it) => ({ at: it.at, line: engineLine(it) }));
    const machine = smolvm.calls.map((it) => ({ at: it.at, line: smolvmLine(it) }));
    const lines = [...engine, ...machine].sort((a, b) => a.at - b.at).map(({ line }) => line);
    expect(lines).toMatchInlineSnapshot(`
      [
        "engine  POST /networks/create",
        "engine  POST /containers/create",
        "engine  POST /containers/ID/start",
        "engine  GET /images/get",
        "engine  POST /networks/create",
        "engine  POST /containers/create",
        "engine  POST /containers/ID/start",
        "engine  POST /containers/create",
        "engine  POST /containers/ID/start",
        "engine  DELETE /containers/ID",
        "smolvm  pack create --image localhost:PORT/bot-bottle:DIGEST -o .../smolvm/pack/image.smolmachine",
        "engine  DELETE /containers/bot-bottle-registry-SLUG",
        "engine  DELETE /networks/bot-bottle-pack-SLUG",
        "smolvm  machine create bot-bottle-SLUG --from .../smolmachines/DIGEST-smolvm-0.8.0.smolmachine.smolmachine --net --allow-cidr ALIAS/32 --cpus N --mem N --volume .../home:/home/node --volume .../etc:/run/bot-bottle/etc:ro",
        "smolvm  machine status --name bot-bottle-SLUG --json",
        "smolvm  machine start --name bot-bottle-SLUG",
        "smolvm  machine status --name bot-bottle-SLUG --json",
        "smolvm  machine exec --name bot-bottle-SLUG -- /bin/sh [repair]",
        "smolvm  machine exec --name bot-bottle-SLUG -- /bin/sh [true]",
        "smolvm  machine cp .../smolvm/env-RANDOM bot-bottle-SLUG:/var/lib/bot-bottle/env-RANDOM",
        "smolvm  machine exec --name bot-bottle-SLUG -- /bin/sh [guest-init]",
        "smolvm  machine status --name bot-bottle-SLUG --json",
        "smolvm  machine stop --name bot-bottle-SLUG",
        "smolvm  machine delete bot-bottle-SLUG -f",
        "engine  DELETE /networks/bot-bottle-bundle-SLUG",
      ]
    `);
  });

  it("keeps out whoever does not know the token, and takes guest-init once", async () => {
    const { openTcpInitDoor } = await import("../../src/backends/smolmachines/tsi/init-door.ts");
    const { connect } = await import("node:net");
    await using door = await openTcpInitDoor("127.0.0.1");
    const port = Number(door.target.split(":").at(-1));
    const ended = (greeting: string): Promise<void> =>
      new Promise((done) => {
        const stranger = connect(port, "127.0.0.1", () => void stranger.write(greeting));
        stranger.on("close", () => done());
        stranger.on("error", () => done());
      });
    await ended(`${"0".repeat(64)}\n`);
    await ended(`GET / HTTP/1.1\r\nHost: ${"x".repeat(64)}\r\n\r\n`);
    const friend = connect(port, "127.0.0.1", () => void friend.write(`${door.token}\nhello`));
    onTestFinished(() => void friend.destroy());
    const socket = await door.accept({ timeoutMs: 5_000 });
    const first = await new Promise<Buffer>((done) => {
      socket.once("data", done);
      socket.resume();
    });
    expect(first.toString()).toBe("hello");
    socket.destroy();
    const again = createServer().listen(port, "127.0.0.1");
    await new Promise<void>((done, fail) => again.once("listening", done).once("error", fail));
    again.close();
  });
});
