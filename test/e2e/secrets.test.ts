// Where the values of credentials are while a bottle lives: in the memory of the owner and its bundle, and nowhere else. What the
// operator gives to the guest on purpose is in the guest's own processes, and nowhere else either.
import { fork, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LAUNCH_STEPS } from "../../src/index.ts";
import { CLI, ended, REPOSITORY, runCli } from "../support/built-cli.ts";
import {
  allPids,
  filesWith,
  isInMemory,
  pidNamespace,
  processesWith,
} from "../support/find-secrets.ts";
import { requires } from "../support/requires.ts";
import { Sink } from "../support/sink.ts";

const TOKENS = {
  env: "env-token-Qw1Er2Ty3Ui4Op5As6Df7",
  file: "file-token-Gh8Jk9Lz0Xc1Vb2Nm3Qa",
  command: "command-token-Ws4Ed5Rf6Tg7Yh8Uj",
};
const GIVEN = "given-on-purpose-Ik9Ol0Pm1Nb2Vc3";
const ALL = [...Object.values(TOKENS), GIVEN];
const SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/** What runs in the guest: uses every credential, fails at one host, searches its own world, and waits to be looked at. */
const AGENT = `
const https = require("node:https"), fs = require("node:fs");
const call = (host, headers, path = "/") => fetch("https://" + host + path, { headers }).then((r) => r.text(), (e) => String(e.cause));
(async () => {
  const e = process.env;
  await call("one.attack.test", { authorization: "Bearer " + e.ENV_TOKEN });
  await call("two.attack.test", { "x-service-key": e.FILE_TOKEN });
  await call("three.attack.test", {}, "/?service_key=" + e.COMMAND_TOKEN);
  await call("evil.attack.test", {}).catch(() => 0);
  fs.writeFileSync("notes.txt", JSON.stringify([e.ENV_TOKEN, e.FILE_TOKEN, e.COMMAND_TOKEN]));
  console.log("LOOK " + e.GIVEN.length);
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
})();`;

interface Place {
  readonly root: string;
  readonly home: string;
  readonly project: string;
  readonly outside: string;
}

function makePlace(sink: Sink): Place {
  const root = mkdtempSync(join(tmpdir(), "bb-secrets-"));
  const place = {
    root,
    home: join(root, "home"),
    project: join(root, "project"),
    outside: join(root, "outside"),
  };
  for (const directory of [
    join(place.home, "bottles"),
    join(place.home, "agents"),
    place.project,
    place.outside,
  ])
    mkdirSync(directory, { recursive: true });
  writeFileSync(join(place.outside, "token"), `${TOKENS.file}\n`, { mode: 0o600 });
  writeFileSync(join(place.outside, "print-token"), `#!/bin/sh\ncat ${place.outside}/other\n`, {
    mode: 0o700,
  });
  writeFileSync(join(place.outside, "other"), TOKENS.command, { mode: 0o600 });
  chmodSync(place.outside, 0o700);
  writeFileSync(join(place.home, "ca.pem"), sink.caPem);
  writeFileSync(join(place.project, "README.md"), "# project\n");
  const hosts = Object.fromEntries(
    ["one", "two", "three", "evil"].map((name) => [
      `${name}.attack.test`,
      `127.0.0.1:${sink.httpsPort}`,
    ]),
  );
  writeFileSync(
    join(place.home, "bottles", "box.md"),
    `---
agent_provider: { template: command, settings: { argv: [/opt/bot-bottle/bin/node, -e, ${JSON.stringify(AGENT)}] } }
env: { GIVEN: "\${GIVEN}" }
egress:
  log: 2
  resolve: ${JSON.stringify(hosts)}
  upstream_ca: [../ca.pem]
  routes:
    - { host: one.attack.test, auth: { scheme: Bearer, token_ref: ENV_TOKEN } }
    - { host: two.attack.test, auth: { scheme: header, name: X-Service-Key, token_ref: { name: FILE_TOKEN, file: ${place.outside}/token } } }
    - { host: three.attack.test, auth: { scheme: query, name: service_key, token_ref: { name: COMMAND_TOKEN, command: [${place.outside}/print-token] } } }
---
`,
  );
  writeFileSync(join(place.home, "agents", "worker.md"), "---\nbottle: box\n---\nDo the work.\n");
  return place;
}

describe("the values of credentials", requires("bwrap", "userns"), () => {
  let sink: Sink;
  let place: Place;
  const env = (): Record<string, string> => ({
    PATH: SEARCH_PATH,
    HOME: place.root,
    BOT_BOTTLE_HOME: place.home,
    ENV_TOKEN: TOKENS.env,
    GIVEN,
  });
  beforeEach(async () => {
    sink = await new Sink().open();
    place = makePlace(sink);
  });
  afterEach(async () => {
    rmSync(place.root, { recursive: true, force: true, maxRetries: 3 });
    await sink[Symbol.asyncDispose]();
  });
  const START = ["start", "worker", "--headless", "--cwd", "--keep"];

  /** Everything outside of the guest that must be free of them. */
  function expectNowhere(known: ReadonlySet<number>, own: number, where: string): void {
    const started = allPids().filter((pid) => !known.has(pid) && pid !== own);
    const host = pidNamespace("self");
    const outside = started.filter((pid) => pidNamespace(pid) === host);
    expect(processesWith(outside, ALL), `processes of the host at ${where}`).toEqual([]);
    expect(processesWith(started, Object.values(TOKENS)), `all processes at ${where}`).toEqual([]);
    // The owner was given two of them by the operator's shell; the others never come near an environment.
    expect(processesWith([own], [TOKENS.file, TOKENS.command]), `the owner at ${where}`).toEqual(
      [],
    );
    for (const directory of ["state", "run", "queue", "audit", "cache"]) {
      expect(filesWith(join(place.home, directory), ALL), `${directory} at ${where}`).toEqual([]);
    }
    const temporary = readdirSync(tmpdir()).filter((name) => name.startsWith("bot-bottle"));
    expect(
      temporary.flatMap((name) => filesWith(join(tmpdir(), name), ALL)),
      `temporary files at ${where}`,
    ).toEqual([]);
  }

  it("are at no step of a launch in a process's arguments or environment, or in a file", {
    timeout: 120_000,
  }, async () => {
    const known = new Set(allPids());
    const events = join(place.root, "events.jsonl");
    const program = join(REPOSITORY, "test/fixtures/programs/cli-stepped.ts");
    const child = fork(program, [...START, "--events", events], {
      cwd: place.project,
      env: { ...env(), BOT_BOTTLE_DEBUG: "1" },
      stdio: ["pipe", "pipe", "pipe", "ipc"],
      execArgv: [],
    });
    const end = ended(child);
    const steps: string[] = [];
    child.on("message", ({ step }: { step: string }) => {
      steps.push(step);
      expectNowhere(known, child.pid ?? 0, `step ${step}`);
      child.send("go on");
    });
    await new Promise<void>((resolve) =>
      child.stdout?.on("data", (chunk: Buffer) => String(chunk).includes("LOOK") && resolve()),
    );
    expectNowhere(known, child.pid ?? 0, "work");
    const [slug = ""] = readdirSync(join(place.home, "state"));
    for (const argv of [
      ["info", slug, "--json"],
      ["info", slug],
      ["list", "active", "--json"],
      ["logs", slug],
      ["audit", "show", slug, "--json"],
      ["exec", slug, "--", "env"],
    ]) {
      const { stdout, stderr } = await runCli(argv, {
        env: { BOT_BOTTLE_HOME: place.home, HOME: place.root },
      });
      for (const token of Object.values(TOKENS))
        expect([argv, stdout.toString() + stderr]).toEqual([
          argv,
          expect.not.stringContaining(token),
        ]);
      if (argv[0] !== "exec") expect(stdout.toString() + stderr).not.toContain(GIVEN);
    }
    child.stdin?.end();
    const { code, stdout, stderr } = await end;
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(steps.toSorted()).toEqual(LAUNCH_STEPS.toSorted());
    for (const value of ALL)
      expect(stdout.toString() + stderr + readFileSync(events, "utf8")).not.toContain(value);
    expectNowhere(known, -1, "the end");
    const seen = sink.arrived.map(
      ({ headers, url }) =>
        `${headers.authorization ?? ""}${String(headers["x-service-key"] ?? "")}${url}`,
    );
    expect(seen).toEqual([
      `Bearer ${TOKENS.env}/`,
      `${TOKENS.file}/`,
      `/?service_key=${TOKENS.command}`,
    ]);
    expect(existsSync(join(place.home, "state", slug, "workspace", "notes.txt"))).toBe(true);
  });

  it("are in the memory of owner and bundle alone", requires("root"), async () => {
    const known = new Set(allPids());
    const child = spawn(process.execPath, [CLI, ...START], {
      cwd: place.project,
      env: env(),
      stdio: ["pipe", "pipe", "pipe"],
    });
    const end = ended(child);
    await new Promise<void>((resolve) =>
      child.stdout?.on("data", (chunk: Buffer) => String(chunk).includes("LOOK") && resolve()),
    );
    const started = allPids().filter((pid) => !known.has(pid) && pid !== child.pid);
    const nameOf = (pid: number): string =>
      existsSync(`/proc/${pid}`)
        ? readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")
        : "";
    const holders = started
      .filter((pid) => isInMemory(pid, Object.values(TOKENS)) === true)
      .map(nameOf);
    expect(holders).toEqual([expect.stringMatching(/^\/run\/bundle\/node .*main\.m?js/)]);
    const guests = started.filter(
      (pid) => nameOf(pid).includes("guest-init") || nameOf(pid).includes("fetch("),
    );
    expect(guests.length).toBeGreaterThanOrEqual(2);
    for (const pid of guests)
      expect([nameOf(pid), isInMemory(pid, Object.values(TOKENS))]).toEqual([
        expect.any(String),
        false,
      ]);
    // A crash of the bundle, which has them all, writes no core file and calls no crash handler.
    for (const pid of started.filter((it) => nameOf(it).startsWith("/run/bundle/node"))) {
      expect(readFileSync(`/proc/${pid}/limits`, "utf8")).toMatch(
        /^Max core file size\s+[01]\s+[01]\s/m,
      );
    }
    child.stdin.end();
    expect((await end).code).toBe(0);
  });

  it("are in no program that is executed for a launch, however short it lives", {
    ...requires("strace", "root"),
    timeout: 120_000,
  }, async () => {
    const trace = join(place.root, "trace");
    const strace = [
      "-f",
      "-qq",
      "-v",
      "-s",
      "65536",
      "-e",
      "trace=execve,execveat",
      "--seccomp-bpf",
      "-o",
      trace,
    ];
    const child = spawn("strace", [...strace, process.execPath, CLI, ...START], {
      cwd: place.project,
      env: env(),
      stdio: ["pipe", "pipe", "pipe"],
    });
    const end = ended(child);
    child.stdout.on("data", (chunk: Buffer) => String(chunk).includes("LOOK") && child.stdin.end());
    expect(await end).toMatchObject({ code: 0 });
    const executed = readFileSync(trace, "utf8")
      .split("\n")
      .filter((line) => line.includes("execve"));
    expect(executed.length).toBeGreaterThan(6);
    const [own = "", ...others] = executed;
    expect(own).toContain("cli.js");
    const names = others
      .filter((line) => ALL.some((value) => line.includes(value)))
      .map((line) => line.slice(0, 120));
    // The agent itself is given one value on purpose.
    expect(
      names.filter(
        (line) => !line.includes('"/opt/bot-bottle/bin/node", ["/opt/bot-bottle/bin/node", "-e"'),
      ),
    ).toEqual([]);
    for (const line of others)
      for (const token of Object.values(TOKENS)) expect(line).not.toContain(token);
  });

  it("are not with the owner of a detached bottle either, except in its memory", async () => {
    const known = new Set(allPids());
    const { stdout, stderr, code } = await runCli([...START, "--detach"], {
      cwd: place.project,
      env: env(),
    });
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    const slug = stdout.toString().trim();
    try {
      await expect.poll(() => sink.arrived.length, { timeout: 10_000 }).toBe(3);
      expectNowhere(known, -1, "detached work");
      const log = await runCli(["logs", slug], {
        env: { BOT_BOTTLE_HOME: place.home, HOME: place.root },
      });
      for (const value of ALL) expect(log.stdout.toString() + log.stderr).not.toContain(value);
    } finally {
      await runCli(["stop", slug], { env: { BOT_BOTTLE_HOME: place.home, HOME: place.root } });
    }
    expectNowhere(known, -1, "the end");
  });

  it("are in no plan that is shown", async () => {
    for (const argv of [
      [...START, "--dry-run", "--json"],
      [...START, "--dry-run"],
      ["start", "worker", "--dry-run", "--json"],
    ]) {
      const { code, stdout, stderr } = await runCli(argv, { cwd: place.project, env: env() });
      expect([code, stderr]).toEqual([0, ""]);
      for (const value of ALL) expect(stdout.toString()).not.toContain(value);
    }
  });

  it("are in no failure, whatever is wrong with them", async () => {
    const broken: readonly (readonly [Record<string, string>, () => void])[] = [
      [{ ENV_TOKEN: `${TOKENS.env}\nsecond line` }, () => undefined],
      [{}, () => chmodSync(join(place.outside, "token"), 0o644)],
      [
        {},
        () =>
          writeFileSync(
            join(place.outside, "print-token"),
            `#!/bin/sh\necho ${TOKENS.command}; echo ${TOKENS.command} >&2; exit 3\n`,
          ),
      ],
    ];
    for (const [more, breakIt] of broken) {
      breakIt();
      const { code, stdout, stderr } = await runCli(START, {
        cwd: place.project,
        env: { ...env(), ...more, BOT_BOTTLE_DEBUG: "1" },
      });
      expect(code).toBe(125);
      for (const value of ALL) expect(stdout.toString() + stderr).not.toContain(value);
    }
  });
});
