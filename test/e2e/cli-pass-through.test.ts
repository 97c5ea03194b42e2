// The program in the bottle as if it ran here: its exit status, its bytes in and out, its arguments, its signals.
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CLI, ended } from "../support/built-cli.ts";
import { CliHome } from "../support/cli-home.ts";
import { requires } from "../support/requires.ts";

const MIB = 1024 * 1024;
const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("a program in a bottle", requires("bwrap", "userns"), () => {
  let home: CliHome;
  beforeEach(() => {
    home = new CliHome();
  });
  afterEach(async () => {
    await home.expectNothingLeft();
    await home[Symbol.asyncDispose]();
  });
  const bottle = (...argv: string[]): string[] => [
    "start",
    "worker",
    "--headless",
    "--quiet",
    "--",
    ...argv,
  ];
  /** The CLI behind a shell, for descriptors that are closed or redirected. */
  const shell = (script: string): ReturnType<typeof ended> =>
    ended(
      spawn(
        "/bin/sh",
        [
          "-c",
          script.replaceAll(
            "BOTTLE",
            `'${process.execPath}' '${CLI}' start worker --headless --quiet --`,
          ),
        ],
        {
          cwd: home.project,
          env: { PATH: "/usr/bin:/bin:/usr/sbin", HOME: home.root, BOT_BOTTLE_HOME: home.home },
        },
      ),
    );

  it("runs beside others of its label, each under a name of its own", async () => {
    const flags = ["--label", "same"];
    const ends = await Promise.all(
      [1, 2, 3].map(() => home.sh('echo "$BOT_BOTTLE_SLUG"', { flags })),
    );
    expect(ends.map((end) => end.code)).toEqual([0, 0, 0]);
    const names = ends.map((end) => end.stdout.toString().trim()).toSorted();
    expect(new Set(names).size).toBe(3);
    expect(names.every((name) => /^same(-[23])?$/.test(name))).toBe(true);
  });

  it.each([
    [0, "exit 0"],
    [1, "exit 1"],
    [42, "exit 42"],
    [125, "exit 125"],
    [255, "exit 255"],
    [137, "kill -KILL $$"],
    [143, "kill -TERM $$"],
    [134, "kill -ABRT $$"],
    [139, "kill -SEGV $$"],
    [127, "exec /no/such/program"],
  ])("ends with %i for %s", async (status, script) => {
    expect((await home.sh(script)).code).toBe(status);
  });

  it("ends with 127 when it is not found and 126 when it cannot be executed, and says so", async () => {
    for (const [status, program] of [
      [127, "no-such-program"],
      [127, "/no/such/program"],
      [126, "/etc/passwd"],
      [126, "/tmp"],
    ] as const) {
      const end = await home.run(bottle(program));
      expect([program, end.code, end.stderr]).toEqual([
        program,
        status,
        expect.stringContaining(program),
      ]);
      expect(end.stdout.length).toBe(0);
    }
  });

  it("gets its arguments as they were written", async () => {
    const args = [
      "",
      " ",
      "a b",
      "it's",
      '"quoted"',
      "$HOME",
      "`id`",
      "line\nbreak",
      "tab\t",
      "ü→😀",
      "--help",
      "--",
      "-x",
      "*",
      "\\",
      "a".repeat(50_000),
    ];
    const { code, stdout } = await home.run(
      bottle(
        "/opt/bot-bottle/bin/node",
        "-p",
        "JSON.stringify(process.argv.slice(1))",
        "--",
        ...args,
      ),
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout.toString())).toEqual(args);
  });

  it("reads and writes any bytes, 5 MiB of them, untouched", async () => {
    const input = randomBytes(5 * MIB);
    const { code, stdout, stderr } = await home.run(bottle("/bin/cat"), { input });
    expect([code, stdout.length, digest(stdout), stderr]).toEqual([
      0,
      input.length,
      digest(input),
      "",
    ]);
  });

  it("writes to both outputs at once without mixing them", async () => {
    const { code, stdout, stderr } = await home.sh(
      "head -c 3000000 /dev/zero | tr '\\0' o & head -c 2000000 /dev/zero | tr '\\0' e >&2; wait",
      { flags: ["-q"] },
    );
    expect([
      code,
      stdout.equals(Buffer.alloc(3_000_000, "o")),
      stderr === "e".repeat(2_000_000),
    ]).toEqual([0, true, true]);
  });

  it("reads from and writes to files that are redirected, at their ends", async () => {
    const bytes = randomBytes(MIB);
    writeFileSync(join(home.root, "in"), bytes);
    writeFileSync(join(home.root, "out"), "before\n");
    const [input, output] = [
      openSync(join(home.root, "in"), "r"),
      openSync(join(home.root, "out"), "a"),
    ];
    const child = home.start(bottle("/bin/cat"), { stdio: [input, output, "pipe"] });
    const end = ended(child);
    closeSync(input);
    closeSync(output);
    expect((await end).code).toBe(0);
    expect(digest(readFileSync(join(home.root, "out")))).toBe(
      digest(Buffer.concat([Buffer.from("before\n"), bytes])),
    );
  });

  it("works with descriptors that are closed", async () => {
    expect(await shell("BOTTLE /bin/sh -c 'cat; exit 4' <&-")).toMatchObject({
      code: 4,
      stderr: "",
    });
    expect(await shell("BOTTLE /bin/sh -c 'echo lost; exit 6' >&-")).toMatchObject({ code: 6 });
    expect(await shell("BOTTLE /bin/sh -c 'echo lost >&2; exit 8' 2>&-")).toMatchObject({
      code: 8,
    });
    expect(await shell("BOTTLE /bin/sh -c 'exit 9' <&- >&- 2>&-")).toMatchObject({ code: 9 });
  });

  it("ends when nobody reads it any more", async () => {
    const { stdout, code } = await shell(
      "BOTTLE /bin/sh -c 'yes' | head -c 4; echo; echo ${PIPESTATUS-}",
    );
    expect([stdout.toString().slice(0, 4), code]).toEqual(["y\ny\n", 0]);
  });

  it("sees the end of its input only when there is one", async () => {
    const child = home.start(
      bottle("/bin/sh", "-c", "read line; echo got $line; cat >/dev/null; echo end"),
    );
    const end = ended(child);
    child.stdin?.write("hello\n");
    await new Promise<void>((resolve) => child.stdout?.once("data", () => resolve()));
    child.stdin?.end();
    expect((await end).stdout.toString()).toBe("got hello\nend\n");
  });

  it("has the promised variables of the host and no others", async () => {
    const { stdout } = await home.run(bottle("/usr/bin/env"), {
      env: {
        TERM: "xterm-test",
        LANG: "de_DE.UTF-8",
        LC_TIME: "C",
        TZ: "Asia/Tokyo",
        NO_COLOR: "1",
        COLORTERM: "truecolor",
        HOST_SECRET: "s",
        AWS_ACCESS_KEY_ID: "a",
        SSH_AUTH_SOCK: "/x",
      },
    });
    const lines = stdout.toString().split("\n");
    for (const line of [
      "TERM=xterm-test",
      "LANG=de_DE.UTF-8",
      "LC_TIME=C",
      "TZ=Asia/Tokyo",
      "NO_COLOR=1",
      "COLORTERM=truecolor",
      "HOME=/home/node",
      "HTTPS_PROXY=http://egress:9099",
    ])
      expect(lines).toContain(line);
    expect(
      lines.filter((line) => /^(HOST_SECRET|AWS_ACCESS|SSH_|BOT_BOTTLE_HOME|PWD=\/tmp)/.test(line)),
    ).toEqual([]);
  });

  it.each([
    ["SIGTERM", "TERM", 3],
    ["SIGINT", "INT", 4],
    ["SIGHUP", "HUP", 5],
  ] as const)(
    "gets %s that is sent to the CLI and decides itself",
    async (signal, name, status) => {
      const child = home.start(
        bottle(
          "/bin/sh",
          "-c",
          `trap 'echo got ${name}; exit ${status}' ${name}; echo ready; while :; do sleep 0.1; done`,
        ),
      );
      const end = ended(child);
      await new Promise<void>((resolve) => child.stdout?.once("data", () => resolve()));
      child.kill(signal);
      expect(await end).toMatchObject({
        code: status,
        stdout: Buffer.from(`ready\ngot ${name}\n`),
      });
    },
  );

  it.each([
    ["nothing where nothing changed", ":", [], /nothing had changed/],
    ["nothing where it ended itself", "trap 'exit 143' TERM", [], /nothing had changed/],
    ["the changed work", "echo x > work.txt", ["worker"], /SIGTERM.*work\.txt was added[^]*cp /],
  ] as const)("that a signal ended keeps %s", async (_name, script, kept, said) => {
    const loop = `${script}; echo ready; while :; do sleep 0.1; done`;
    const child = home.start([
      ...["start", "worker", "--headless", "--cwd", "--label", "worker"],
      ...["--", "/bin/sh", "-c", loop],
    ]);
    const end = ended(child);
    await new Promise<void>((resolve) => child.stdout?.once("data", () => resolve()));
    child.kill("SIGTERM");
    const { code, stderr } = await end;
    expect([code, stderr]).toEqual([143, expect.stringMatching(said)]);
    expect(home.names("state")).toEqual(kept);
  });

  it("that ignores signals is ended all the same", async () => {
    const child = home.start(
      bottle("/bin/sh", "-c", "trap '' INT TERM HUP; echo ready; while :; do sleep 0.1; done"),
    );
    const end = ended(child);
    await new Promise<void>((resolve) => child.stdout?.once("data", () => resolve()));
    child.kill("SIGINT");
    setTimeout(() => child.kill("SIGINT"), 300);
    expect((await end).code).toBe(130);
  });

  it("is alone on both outputs with --quiet", async () => {
    const end = await home.sh("echo out; echo err >&2", { flags: ["--quiet", "--cwd", "--keep"] });
    expect([end.stdout.toString(), end.stderr]).toEqual(["out\n", "err\n"]);
  });

  it("has its story in the events file", async () => {
    const file = join(home.root, "events.jsonl");
    const script =
      "/opt/bot-bottle/bin/node -e \"fetch('https://denied.example.test/').catch(()=>0)\"; exit 7";
    const end = await home.sh(script, { flags: ["--events", file] });
    expect(end.code).toBe(7);
    const events = readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const kinds = events.map(({ kind }) => kind);
    for (const kind of ["step", "agent-started", "decision", "agent-exited", "closing", "closed"])
      expect(kinds).toContain(kind);
    expect(events.find(({ kind }) => kind === "decision")?.event).toMatchObject({
      verdict: "deny",
      host: "denied.example.test",
      reason: "host-not-allowed",
    });
    expect(events.find(({ kind }) => kind === "agent-exited")).toMatchObject({ exitCode: 7 });
    expect(kinds.at(-1)).toBe("closed");
    for (const { time } of events) expect(new Date(time).toISOString()).toBe(time);
  });

  it("keeps its work when it changed something, and nothing otherwise", async () => {
    const clean = await home.sh("ls", { flags: ["--cwd"] });
    expect([clean.code, clean.stdout.toString()]).toEqual([0, "README.md\n"]);
    expect(home.names("state")).toEqual([]);
    const changed = await home.sh("echo more >> README.md", { flags: ["--cwd"] });
    expect(changed.code).toBe(0);
    const [slug = ""] = home.names("state");
    expect(changed.stderr).toContain(`bot-bottle cp ${slug}:/home/node/workspace`);
    expect(readFileSync(join(home.project, "README.md"), "utf8")).toBe("# project\n");
    expect(home.names("audit")).toHaveLength(2);
  });

  it("runs beside others, whatever their name", async () => {
    const script = 'echo "$BOT_BOTTLE_SLUG"; sleep 1';
    const ends = await Promise.all([1, 2, 3].map(() => home.sh(script)));
    expect(ends.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(new Set(ends.map(({ stdout }) => stdout.toString())).size).toBe(3);
    const labelled = (): ReturnType<CliHome["sh"]> =>
      home.sh(script, { flags: ["--label", "Same Name"] });
    const first = labelled();
    await vi.waitFor(() => expect(home.names("state")).toEqual(["same-name"]), 5000);
    expect((await labelled()).stdout.toString()).toBe("same-name-2\n");
    expect((await first).stdout.toString()).toBe("same-name\n");
  });

  it("ends when the bottle's guest is killed from inside", async () => {
    const { code } = await home.sh("kill -KILL 2; sleep 5; exit 0");
    expect(code).not.toBe(0);
  });
});
