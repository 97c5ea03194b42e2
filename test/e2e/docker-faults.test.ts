// What a user of the docker backend gets for each thing that can be wrong: one error that names it, what to do, and nothing left
// on the engine; and what cleanup finds there that no record names.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ended } from "../support/built-cli.ts";
import { CliHome, failureOf } from "../support/cli-home.ts";
import { imageEnv, testBase } from "../support/docker.ts";
import { docker } from "../support/docker-command.ts";
import { requires } from "../support/requires.ts";

const AGENT =
  "agent_provider: { template: command, settings: { argv: [/bin/sh, -c, 'echo work > made.txt; echo RUNNING; sleep 300'] } }";
const START = ["start", "worker", "--headless"];
const SOCKET = "/var/run/docker.sock";

let home: CliHome;
const env = (more: Readonly<Record<string, string>> = {}): { env: Record<string, string> } => ({
  env: { BOT_BOTTLE_BACKEND: "docker", BOT_BOTTLE_IMAGE: testBase(), ...more },
});
const homeId = (): string => {
  const file = join(home.home, "cache/home-id");
  return existsSync(file) ? readFileSync(file, "utf8").trim() : "none";
};
const ofHome = (): string[] => {
  const filter = ["--filter", `label=bot-bottle.home=${homeId()}`];
  const names = [
    docker("ps", "--all", "--format", "{{.Names}}", ...filter),
    docker("network", "ls", "--format", "{{.Name}}", ...filter),
  ];
  return names.join("\n").split("\n").filter(Boolean);
};

describe("on docker", requires("docker"), () => {
  beforeEach(() => {
    home = new CliHome(AGENT);
  });
  afterEach(async () => {
    await vi.waitFor(() => expect(ofHome()).toEqual([]), 5000);
    await home.expectNothingLeft();
    await home[Symbol.asyncDispose]();
  });

  async function fails(
    argv: readonly string[],
    more: Readonly<Record<string, string>> = {},
  ): Promise<ReturnType<typeof failureOf>> {
    const end = await home.run(argv, env(more));
    expect([end.code, end.stderr]).toEqual([125, expect.any(String)]);
    expect(end.stderr.match(/^error \[/gm)).toHaveLength(1);
    expect(end.stderr).not.toMatch(/\n {4}at |BugError|\x1b/);
    expect(home.names("state")).toEqual([]);
    return failureOf(end);
  }

  it.each([
    ["attachment: tsi", "host.backend-unavailable", /docker has no attachment tsi/, /auto/],
    ["runtime: kata", "host.backend-unavailable", /kata is not registered.*runc/, /daemon\.json/],
    ["runtime: runc\nlimits: { memory: 4MiB }", "launch.backend", /[Mm]emory limit/, /4MiB/],
    ["runtime: runc\nlimits: { cpus: 4096 }", "launch.backend", /CPUs/, /cpus 4096/],
  ])("refuses %j", async (line, code, message, hint) => {
    home.bottle("box", `${line}\n${AGENT}`);
    const failure = await fails([...START, "--", "/bin/true"]);
    expect(failure).toMatchObject({
      code,
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
  });

  it.each([
    ["bot-bottle-none:1", "launch.image", /"bot-bottle-none:1" was not found/, /docker pull/],
    ["No Such", "usage.invalid", /BOT_BOTTLE_IMAGE is "No Such"/, /.*/],
  ])("refuses the image %j", async (image, code, message, hint) => {
    const failure = await fails([...START, "--", "/bin/true"], { BOT_BOTTLE_IMAGE: image });
    expect(failure.code).toBe(code);
    expect(failure.message).toMatch(message);
    expect(failure.hint).toMatch(hint);
  });

  it("refuses an image without a shell, and says what it lacks", async () => {
    const tag = `bot-bottle-test-empty:${process.pid}`;
    const tar = join(home.root, "empty.tar");
    writeFileSync(tar, Buffer.alloc(1024));
    docker("import", tar, tag);
    try {
      const failure = await fails([...START, "--", "/bin/true"], { BOT_BOTTLE_IMAGE: tag });
      expect(failure.code).toBe("host.node-missing");
      expect(failure.message).toContain("it has no /bin/sh");
      expect(failure.hint).toContain("a shell");
    } finally {
      docker("rmi", tag);
    }
  });

  it("gives the engine's words for a Dockerfile that does not build, and leaves no name", async () => {
    home.bottle(
      "box",
      "agent_provider: { template: command, dockerfile: web/Dockerfile, settings: { argv: [/bin/true] } }",
    );
    const settings = { ...imageEnv() };
    const build = {
      BOT_BOTTLE_IMAGE: "",
      BOT_BOTTLE_BASE_IMAGE: settings.BOT_BOTTLE_BASE_IMAGE,
    };
    const start = [...START, "--label", "docker-faults", "--", "/bin/cat", "/mine"];
    const missing = await fails(start, build);
    expect(missing).toMatchObject({
      code: "launch.image",
      message: expect.stringContaining("ENOENT"),
      hint: expect.stringContaining("web/Dockerfile"),
    });
    const file = join(home.home, "bottles/web/Dockerfile");
    mkdirSync(join(home.home, "bottles/web"));
    writeFileSync(
      file,
      "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN sleep 2 && echo so it goes && exit 7\n",
    );
    const end = await home.run(start, env(build));
    expect([end.code, failureOf(end).code]).toEqual([125, "launch.image"]);
    expect(end.stderr).toContain("returned a non-zero code: 7");
    expect(end.stderr).toContain("so it goes");
    expect(end.stderr).toContain("building image bot-bottle-command:docker-faults");
    expect(end.stderr).not.toContain("starting the guest");
    writeFileSync(file, "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN echo mine >/mine\n");
    const good = await home.run(start, env(build));
    expect([good.code, good.stdout.toString()]).toEqual([0, "mine\n"]);
    const names = docker("images", "--format", "{{.Repository}}:{{.Tag}}").split("\n");
    expect(names.filter((name) => name.includes("docker-faults"))).toEqual([]);
    // The image itself is kept for the next bottle, by a name that its Dockerfile's place and its content give.
    const place = createHash("sha256").update(file).digest("hex").slice(0, 12);
    const kept = names.filter((name) => name.startsWith(`bot-bottle-command:built-${place}-`));
    expect(kept).toHaveLength(1);
    // The engine removes the container in its own time.
    await vi.waitFor(() => expect(ofHome()).toEqual([]), 5000);
    docker("rmi", ...kept);
  });

  it("does not take the name of somebody's container", async () => {
    const name = `bot-bottle-foreign-${process.pid}`;
    docker("create", "--name", name, "--network", "none", testBase(), "/bin/true");
    try {
      const failure = await fails([...START, "--label", `foreign-${process.pid}`, "--", "true"]);
      expect(failure).toMatchObject({
        code: "launch.name-taken",
        hint: expect.stringContaining(`docker rm -f ${name}`),
      });
      await home.run(["cleanup", "--yes"], env());
      expect(docker("ps", "--all", "--format", "{{.Names}}")).toContain(name);
    } finally {
      docker("rm", "--force", name);
    }
  });

  it("removes by label what no record names, and nothing of another home or a living owner", async () => {
    expect((await home.run([...START, "--", "/bin/true"], env())).code).toBe(0);
    const make = (name: string, home: string, owner: string): string => {
      const labels = { bottle: "lost", role: "guest", home, owner };
      const args = Object.entries(labels).flatMap(([key, value]) => [
        "--label",
        `bot-bottle.${key}=${value}`,
      ]);
      docker("create", "--name", name, "--network", "none", ...args, testBase(), "/bin/true");
      docker("network", "create", ...args, `${name}-net`);
      return name;
    };
    const dead = "999999999 1 an-earlier-boot pid:[1]";
    const [, ticks] = /^\d+ \(.*\) \S(?: \S+){18} (\d+)/.exec(
      readFileSync("/proc/self/stat", "utf8"),
    ) ?? [""];
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const alive = `${process.pid} ${ticks} ${boot} ${readlinkSync("/proc/self/ns/pid")}`;
    const prefix = `bot-bottle-t${process.pid}`;
    const lost = make(`${prefix}-lost`, homeId(), dead);
    const others = [
      make(`${prefix}-other`, "0".repeat(32), dead),
      make(`${prefix}-alive`, homeId(), alive),
    ];
    try {
      const plan = JSON.parse((await home.run(["cleanup", "--json"], env())).stdout.toString()) as {
        objects: { name: string; kind: string }[];
      };
      expect(plan.objects.map(({ name, kind }) => [kind, name])).toEqual([
        ["container", lost],
        ["network", `${lost}-net`],
      ]);
      const done = await home.run(["cleanup", "--yes"], env());
      expect([done.code, done.stdout.toString()]).toEqual([0, expect.stringContaining(lost)]);
      const names = docker("ps", "--all", "--format", "{{.Names}}").split("\n");
      expect(names).not.toContain(lost);
      expect(names).toEqual(expect.arrayContaining(others));
      // The next launch does the same by itself.
      make(lost, homeId(), dead);
      expect((await home.run([...START, "--", "/bin/true"], env())).code).toBe(0);
      expect(docker("ps", "--all", "--format", "{{.Names}}").split("\n")).not.toContain(lost);
      expect(docker("network", "ls", "--format", "{{.Name}}")).not.toContain(`${lost}-net`);
    } finally {
      const made = docker("ps", "--all", "--quiet", "--filter", `name=${prefix}`);
      if (made !== "") docker("rm", "--force", ...made.split("\n"));
      const networks = docker("network", "ls", "--quiet", "--filter", `name=${prefix}`);
      if (networks !== "") docker("network", "rm", ...networks.split("\n"));
    }
  });

  it("ends a bottle whose engine goes away, keeps its work, and cleans up once it is back", async () => {
    home.bottle("box", `attachment: internal\n${AGENT}`);
    const path = join(home.root, "engine.sock");
    const open = new Set<Socket>();
    const relay = createServer({ allowHalfOpen: true }, (incoming) => {
      const outgoing = connect({ path: SOCKET, allowHalfOpen: true });
      for (const socket of [incoming, outgoing]) {
        open.add(socket);
        socket.on("error", () => incoming.destroy());
        socket.on("close", () => [incoming, outgoing].forEach((it) => void it.destroy()));
      }
      incoming.pipe(outgoing);
      outgoing.pipe(incoming);
    });
    await new Promise<void>((done) => void relay.listen(path, done));
    const settings = Object.entries(imageEnv()).filter(([, value]) => value !== undefined);
    const given = env({ ...Object.fromEntries(settings), DOCKER_HOST: `unix://${path}` });
    const owner = home.start([...START, "--cwd"], { ...given, timeoutMs: 120_000 });
    const end = ended(owner);
    await new Promise<void>((running) => {
      owner.stdout?.on("data", (chunk: Buffer) => {
        if (chunk.toString().includes("RUNNING")) running();
      });
    });
    relay.close();
    for (const socket of open) socket.destroy();
    const { code, stderr } = await end;
    expect([code, stderr]).toEqual([125, expect.stringContaining("work kept")]);
    // Guest and bundle are lost at once: whichever is missed first is told.
    expect(failureOf({ code, stderr, signal: null, stdout: Buffer.alloc(0) }).code).toMatch(
      /^(?:launch\.backend|sidecar\.died)$/,
    );
    const [slug = ""] = home.names("state");
    const made = join(home.home, "state", slug, "workspace/made.txt");
    expect(readFileSync(made, "utf8")).toBe("work\n");
    rmSync(path, { force: true });
    const blind = await home.run(["cleanup", "--yes"], given);
    expect([blind.code, blind.stderr]).toEqual([0, expect.stringContaining("not looked for")]);
    const seeing = await home.run(["cleanup", "--yes"], env());
    expect([seeing.code, ofHome()]).toEqual([0, []]);
    expect(readFileSync(made, "utf8")).toBe("work\n");
  });
});
