// A bottle in the background and every command that speaks to it, from its start to its last trace.
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type Ended, ended } from "../support/built-cli.ts";
import { CliHome, failureOf } from "../support/cli-home.ts";
import { requires } from "../support/requires.ts";

const AGENT = `agent_provider: { template: command, settings: { argv: [/bin/sh, -c, 'echo agent speaks; echo agent complains >&2; echo work > made.txt; sleep 300'] } }`;
const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const json = (end: Ended) => JSON.parse(end.stdout.toString());

describe("a bottle in the background", requires("bwrap", "userns"), () => {
  let home: CliHome;
  let slug = "";
  let place = "";
  const run = (...argv: string[]): Promise<Ended> => home.run(argv);
  const ok = async (...argv: string[]): Promise<string> => {
    const end = await home.run(argv);
    expect([argv, end.code, end.stderr]).toEqual([argv, 0, expect.any(String)]);
    return end.stdout.toString();
  };

  beforeAll(async () => {
    home = new CliHome(AGENT);
    place = mkdtempSync(join(tmpdir(), "bb-place-"));
    const end = await run("start", "worker", "--headless", "--cwd", "--detach");
    expect([end.code, end.stderr]).toEqual([0, expect.stringContaining("bot-bottle stop")]);
    slug = end.stdout.toString().trim();
  });
  afterAll(async () => {
    await run("stop", "--all");
    await home.expectNothingLeft();
    await home[Symbol.asyncDispose]();
    rmSync(place, { recursive: true, force: true });
  });

  it("prints its name alone on stdout", () => expect(slug).toMatch(/^worker-[a-z0-9]{5}$/));

  it("is listed, for people and for programs", async () => {
    expect(await ok("list", "active")).toMatch(new RegExp(`${slug}.*worker`));
    const listed = JSON.parse(await ok("list", "--json"));
    expect(listed.agents).toEqual([expect.objectContaining({ name: "worker" })]);
    expect(listed.bottles).toEqual([expect.objectContaining({ slug, backend: "bubblewrap" })]);
  });

  it("is described", async () => {
    expect(await ok("info", slug)).toContain("bubblewrap");
    const info = json(await run("info", slug, "--json"));
    expect(JSON.stringify(info)).toContain(slug);
    expect(await ok("info", "worker")).toContain("command");
  });

  it("is found by the beginning of its name", async () => {
    expect(await ok("exec", slug.slice(0, -2), "--", "/bin/echo", "here")).toBe("here\n");
  });

  describe("exec", () => {
    it("passes status, bytes and arguments through", async () => {
      const input = randomBytes(2 << 20);
      const cat = await home.run(["exec", slug, "--", "/bin/cat"], { input });
      expect([cat.code, cat.stderr, digest(cat.stdout)]).toEqual([0, "", digest(input)]);
      const both = await run("exec", slug, "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 9");
      expect([both.code, both.stdout.toString(), both.stderr]).toEqual([9, "out\n", "err\n"]);
      expect((await run("exec", slug, "--", "no-such")).code).toBe(127);
      expect((await run("exec", slug, "--", "/etc/passwd")).code).toBe(126);
      expect((await run("exec", slug, "--", "/bin/sh", "-c", "kill -KILL $$")).code).toBe(137);
    });

    it.each([
      ["a program that is not there", ["--", "no-such"], 127, `exec SLUG -- ls /usr/local/bin`],
      ["a file that is no program", ["--", "/etc/passwd"], 126, `ls -ld '/etc/passwd'`],
      ["a directory that is not there", ["--cwd", "/no", "--", "ls"], 125, `ls -ld '/no'`],
      ["a directory that is relative", ["--cwd", "no", "--", "ls"], 125, "begin it with /"],
      ["a variable without a value", ["--env", "X", "--", "ls"], 125, "--env CI=1"],
      ["a program without --", ["ls", "-l"], 125, "exec SLUG -- ls"],
      ["nothing to run", ["--", ""], 125, "exec SLUG -- ls"],
    ])("says once what is wrong with %s, and what to do", async (_name, argv, code, hint) => {
      const end = await run("exec", slug, ...argv);
      expect([end.code, end.stdout.toString()]).toEqual([code, ""]);
      expect(end.stderr).toMatch(/^hint: /m);
      expect(end.stderr).toContain(hint.replace("SLUG", slug));
      expect(end.stderr.match(/not started/g)?.length ?? 0).toBeLessThanOrEqual(1);
    });

    it("has the bottle's environment, directory and confinement", async () => {
      expect(await ok("exec", slug, "--", "/bin/pwd")).toBe("/home/node/workspace\n");
      expect(
        await ok(
          "exec",
          slug,
          "--cwd",
          "/tmp",
          "-e",
          "MINE=1 2",
          "--",
          "/bin/sh",
          "-c",
          'pwd; echo "$MINE $HTTPS_PROXY $BOT_BOTTLE_SLUG"',
        ),
      ).toBe(`/tmp\n1 2 http://egress:9099 ${slug}\n`);
      expect(await ok("exec", slug, "--", "grep", "Seccomp:", "/proc/self/status")).toBe(
        "Seccomp:\t2\n",
      );
    });

    it("passes signals on and ends what nobody reads", async () => {
      const child = home.start([
        "exec",
        slug,
        "--",
        "/bin/sh",
        "-c",
        "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done",
      ]);
      const end = ended(child);
      await new Promise<void>((resolve) => child.stdout?.once("data", () => resolve()));
      child.kill("SIGTERM");
      expect(await end).toMatchObject({ code: 3, stdout: Buffer.from("up\nbye\n") });
      const killed = home.start(["exec", slug, "--", "/bin/sleep", "301"]);
      const gone = ended(killed);
      await vi.waitFor(
        async () => expect(await ok("exec", slug, "--", "pgrep", "-f", "sleep 301")).not.toBe(""),
        5000,
      );
      killed.kill("SIGKILL");
      await gone;
      await vi.waitFor(
        async () =>
          expect((await run("exec", slug, "--", "pgrep", "-x", "-f", "/bin/sleep 301")).code).toBe(
            1,
          ),
        5000,
      );
    });

    it("runs many at the same time", async () => {
      const many = await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          ok("exec", slug, "--", "/bin/sh", "-c", `sleep 0.3; echo ${index}`),
        ),
      );
      expect(many).toEqual(Array.from({ length: 8 }, (_, index) => `${index}\n`));
    });
  });

  describe("cp", () => {
    it("carries files and directories both ways, byte by byte", async () => {
      const bytes = randomBytes(3 << 20);
      const source = join(place, "tree");
      mkdirSync(join(source, "deep", "empty"), { recursive: true });
      writeFileSync(join(source, "deep", "data"), bytes);
      writeFileSync(join(source, "run.sh"), "#!/bin/sh\necho run\n");
      chmodSync(join(source, "run.sh"), 0o755);
      symlinkSync("deep/data", join(source, "link"));
      await ok("cp", source, `${slug}:/home/node/workspace/tree`);
      expect(
        await ok(
          "exec",
          slug,
          "--",
          "/bin/sh",
          "-c",
          "cd tree && ./run.sh && sha256sum < deep/data | cut -d' ' -f1 && readlink link && ls deep",
        ),
      ).toBe(`run\n${digest(bytes)}\ndeep/data\ndata\nempty\n`);
      await ok("cp", `${slug}:/home/node/workspace/tree`, join(place, "back"));
      expect(digest(readFileSync(join(place, "back", "deep", "data")))).toBe(digest(bytes));
      expect(statSync(join(place, "back", "run.sh")).mode & 0o777).toBe(0o755);
      expect(readlinkSync(join(place, "back", "link"))).toBe("deep/data");
      await ok("cp", `${slug}:/home/node/workspace/tree/run.sh`, place);
      expect(readFileSync(join(place, "run.sh"), "utf8")).toContain("echo run");
    });

    it("follows no link of the guest, and overwrites nothing through one", async () => {
      const victim = join(place, "victim");
      writeFileSync(victim, "untouched");
      await ok(
        "exec",
        slug,
        "--",
        "/bin/sh",
        "-c",
        `mkdir -p bad/way && ln -s ${victim} bad/out && ln -s ${place} bad/place && ln -s /etc/passwd bad/passwd && mkfifo bad/pipe; true`,
      );
      const end = await run("cp", `${slug}:/home/node/workspace/bad`, join(place, "bad"));
      expect(end.stderr + String(end.code)).toBeTruthy();
      expect(readFileSync(victim, "utf8")).toBe("untouched");
      if (existsSync(join(place, "bad", "out")))
        expect(lstatSync(join(place, "bad", "out")).isSymbolicLink()).toBe(true);
      // A second copy of something else over the links must not go through them.
      await ok(
        "exec",
        slug,
        "--",
        "/bin/sh",
        "-c",
        "rm -rf bad2 && mkdir bad2 && echo stolen > bad2/out && mkdir bad2/place && echo stolen > bad2/place/victim",
      );
      await run("cp", `${slug}:/home/node/workspace/bad2/.`, join(place, "bad"));
      expect(readFileSync(victim, "utf8")).toBe("untouched");
    });

    it("says what is wrong", async () => {
      for (const [argv, status] of [
        [["cp", `${slug}:/home/node/workspace/nothing`, place], 71],
        [["cp", join(place, "nothing"), `${slug}:/tmp`], 64],
        [["cp", place, place], 64],
        [["cp", "nobody-00000:/tmp", place], 64],
      ] as const) {
        const end = await home.run(argv);
        expect([argv, end.code, failureOf(end).message]).toEqual([
          argv,
          status,
          expect.stringMatching(/./),
        ]);
      }
    });
  });

  it("has logs, each part for itself", async () => {
    await vi.waitFor(
      async () =>
        expect(await ok("logs", slug, "--part", "agent")).toBe("agent speaks\nagent complains\n"),
      5000,
    );
    const parts = (await ok("logs", slug, "--json"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).part);
    expect(parts).toContain("agent");
    expect(await ok("logs", slug)).toContain("agent speaks");
  });

  it("has an audit log that can be shown and verified while it runs", async () => {
    await run(
      "exec",
      slug,
      "--",
      "/opt/bot-bottle/bin/node",
      "-e",
      "fetch('https://denied.example.test/secret-path').catch(()=>0)",
    );
    const events = (await ok("audit", "show", slug, "--json"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.at(0)).toMatchObject({ kind: "launch", bottle: slug, seq: 0 });
    expect(events.at(-1)).toMatchObject({
      verdict: "deny",
      host: "denied.example.test",
      reason: "host-not-allowed",
      rule: "default-deny",
    });
    expect(await ok("audit", "show", slug, "--denied")).toContain("denied.example.test");
    expect((await run("audit", "verify", slug)).code).toBe(0);
  });

  it("tells those who ask that its bundle was restarted", async () => {
    const { live } = json(await run("info", slug, "--json"));
    process.kill(live.bundle_pid, "SIGKILL");
    const said = "the bundle was restarted";
    await vi.waitFor(async () => {
      expect(await ok("logs", slug, "--part", "owner")).toContain(said);
      expect(json(await run("info", slug, "--json")).live?.restarts).toBe(1);
    }, 10_000);
    expect(await ok("info", slug)).toContain(said);
    expect((await run("list", "active")).stderr).toContain(`${slug}: ${said}`);
    expect(JSON.parse(await ok("list", "--json")).bottles[0].warning).toContain(said);
  });

  it("is not taken for a leftover", async () => {
    expect(await ok("cleanup", "--yes")).not.toContain(slug);
    expect(await ok("exec", slug, "--", "/bin/echo", "alive")).toBe("alive\n");
  });

  it("stops when told to, and keeps the agent's work and its audit log", async () => {
    const stop = await run("stop", slug);
    expect([stop.code, stop.stdout.toString() + stop.stderr]).toEqual([
      0,
      expect.stringContaining(`bot-bottle cp ${slug}:`),
    ]);
    const [, head = ""] = /audit log ends at (\d+:[0-9a-f]{64})/.exec(stop.stderr) ?? [];
    expect((await run("audit", "verify", slug, "--head", head)).code).toBe(0);
    await home.expectNothingLeft();
    expect(
      JSON.parse(await ok("list", "active", "--json")).bottles.filter(
        (it: { status: string }) => it.status === "running",
      ),
    ).toEqual([]);
    expect((await run("exec", slug, "--", "ls")).code).toBe(125);
    expect(await ok("list", "kept")).toContain(slug);
    await ok("cp", `${slug}:/home/node/workspace/made.txt`, join(place, "made.txt"));
    expect(readFileSync(join(place, "made.txt"), "utf8")).toBe("work\n");
    expect(await ok("logs", slug, "--part", "agent")).toContain("agent speaks");
    const verdict = json(await run("audit", "verify", slug, "--json"));
    expect(JSON.stringify(verdict)).toContain("true");
    await ok("cleanup", "--yes");
    expect(home.names("state")).toEqual([slug]);
  });

  it("is removed with its work only when it is named", async () => {
    await ok("cleanup", slug, "--yes");
    expect([home.names("state"), home.names("audit")]).toEqual([[], [`${slug}.jsonl`]]);
    expect((await run("audit", "verify", slug)).code).toBe(0);
    expect(await ok("audit", "show", slug)).toContain("denied.example.test");
  });

  it("whose audit log was edited does not verify", async () => {
    const file = join(home.home, "audit", `${slug}.jsonl`);
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace('"deny"', '"allow"'));
    const end = await run("audit", "verify", slug);
    expect(end.code).toBeGreaterThan(0);
    const edited = text.slice(0, text.indexOf('"deny"')).split("\n").length;
    expect(end.stderr).toContain(`line ${edited} or its follower was changed`);
    expect(end.stderr).toContain(`lines before ${edited} are as they were written`);
    writeFileSync(file, text);
    expect((await run("audit", "verify", slug)).code).toBe(0);
    const head = `${text.trim().split("\n").length}:${"0".repeat(64)}`;
    expect((await run("audit", "verify", slug, "--head", head)).code).toBeGreaterThan(0);
  });
});

describe("a bottle whose owner was killed", requires("bwrap", "userns"), () => {
  let home: CliHome;
  beforeEach(() => {
    home = new CliHome(AGENT);
  });
  afterEach(async () => {
    await home.run(["stop", "--all"]);
    await home[Symbol.asyncDispose]();
  });

  it("runs no more, is shown, and is cleaned up without its work", async () => {
    const start = await home.run(["start", "worker", "--headless", "--cwd", "--detach", "--json"]);
    const { slug, pid } = json(start);
    await vi.waitFor(
      () => expect(existsSync(join(home.home, "state", slug, "workspace", "made.txt"))).toBe(true),
      5000,
    );
    process.kill(pid, "SIGKILL");
    await vi.waitFor(
      async () =>
        expect((await home.run(["list", "active"])).stdout.toString()).not.toMatch(/running/),
      10_000,
    );
    const plan = await home.run(["cleanup", "--json"]);
    expect(plan.stdout.toString()).toContain(slug);
    expect((await home.run(["cleanup", "--yes"])).code).toBe(0);
    await home.expectNothingLeft();
    expect(readdirSync(join(home.home, "state"))).toEqual([slug]);
    expect(readFileSync(join(home.home, "state", slug, "workspace", "made.txt"), "utf8")).toBe(
      "work\n",
    );
    expect((await home.run(["audit", "verify", slug])).code).toBe(0);
  });

  it("fails a detached start with one error, where the operator sees it", async () => {
    const end = await home.run([
      "start",
      "worker",
      "--headless",
      "--detach",
      "--",
      "no-such-program",
    ]);
    expect([end.code, end.stdout.toString(), end.stderr]).toEqual([
      127,
      "",
      expect.stringContaining("no-such-program"),
    ]);
    await home.expectNothingLeft();
    expect(home.names("state")).toEqual([]);
  });
});
