// A bottle on a terminal: the question before it starts, the agent that owns the terminal while it lives, and a terminal that is
// as it was afterwards.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CLI } from "../support/built-cli.ts";
import { CliHome } from "../support/cli-home.ts";
import { requires } from "../support/requires.ts";

/** Says what happens to its terminal; ends at `q`. */
const AGENT = `const say = (text) => process.stdout.write(text + "\\r\\n");
const size = () => say("SIZE " + process.stdout.columns + "x" + process.stdout.rows);
process.on("SIGINT", () => say("GOT SIGINT"));
say("TTY " + [0, 1, 2].map((fd) => require("node:tty").isatty(fd)).join());
size();
process.stdout.on("resize", size);
if (process.argv[2] === "raw") process.stdin.setRawMode(true);
process.stdin.on("data", (data) => {
  for (const key of String(data).trim()) say("KEY " + key);
  if (String(data).includes("q")) process.exit(7);
});
say("UP");
`;

describe("a bottle on a terminal", requires("bwrap", "userns", "tmux"), () => {
  let home: CliHome;
  let sockets = "";
  const tmux = (...argv: string[]): string =>
    execFileSync("tmux", ["-L", "bottle", "-f", "/dev/null", ...argv], {
      encoding: "utf8",
      env: {
        PATH: "/usr/bin:/bin:/usr/sbin",
        HOME: home.root,
        TMUX_TMPDIR: sockets,
        BOT_BOTTLE_HOME: home.home,
        LANG: "C.UTF-8",
      },
    });
  const screen = (): string => tmux("capture-pane", "-p", "-S", "-200");
  const type = (...keys: string[]): string => tmux("send-keys", ...keys);
  const shows = (text: string | RegExp, timeout = 10_000): Promise<void> =>
    vi.waitFor(() => expect(screen()).toMatch(text), { timeout, interval: 50 });
  const start = (...argv: string[]): string =>
    type("-l", `'${process.execPath}' '${CLI}' start worker ${argv.join(" ")}`) + type("Enter");
  let looks = 0;
  /** The shell's own view of its terminal. */
  const settings = async (): Promise<string> => {
    looks += 1;
    type(`clear; echo 'begin'-${looks}; stty -g; echo 'end'-${looks}`, "Enter");
    await shows(new RegExp(`end-${looks}`));
    const [, text = ""] = new RegExp(`begin-${looks}([^]*)end-${looks}`).exec(screen()) ?? [];
    return text.replace(/\s/g, "");
  };
  let before = "";

  beforeEach(async () => {
    home = new CliHome(
      "agent_provider: { template: command, settings: { argv: [/opt/bot-bottle/bin/node, /agent/agent.cjs] } }\nmounts: [{ host: ../../agent, guest: /agent }]",
    );
    execFileSync("mkdir", ["-m", "755", join(home.root, "agent")]);
    writeFileSync(join(home.root, "agent", "agent.cjs"), AGENT, { mode: 0o644 });
    sockets = mkdtempSync(join(tmpdir(), "bb-tmux-"));
    tmux("new-session", "-d", "-x", "100", "-y", "30", "-c", home.project, "/bin/sh");
    before = await settings();
  });
  afterEach(async () => {
    tmux("kill-server");
    rmSync(sockets, { recursive: true, force: true });
    await home.expectNothingLeft();
    await home[Symbol.asyncDispose]();
  });
  const expectSane = async (): Promise<void> => {
    await shows(/STATUS \d+/);
    expect(await settings()).toBe(before);
  };

  it("asks first, shows what it grants, and takes no for an answer", async () => {
    start("; echo STATUS $?");
    await shows(/\[y\/N\]/);
    expect(screen()).toMatch(/worker.*\n[^]*backend +bubblewrap[^]*reaches +no host/);
    type("n", "Enter");
    await shows(/STATUS 125/);
    expect(screen()).toMatch(/error \[launch\.declined\]/);
    expect(home.names("state")).toEqual([]);
    await expectSane();
  });

  it("takes an empty answer, the end of input and Ctrl-C for a no", async () => {
    for (const [keys, status] of [
      [["Enter"], 125],
      [["C-d"], 125],
      [["C-c"], 130],
    ] as const) {
      type("clear", "Enter");
      start("; echo STATUS $?");
      await shows(/\[y\/N\]/);
      type(...keys);
      await shows(new RegExp(`STATUS ${status}`));
      await expectSane();
    }
    expect(home.names("state")).toEqual([]);
  });

  it("gives the terminal to the agent: size, its changes, keys and Ctrl-C; and takes it back", async () => {
    start("; echo STATUS $?");
    await shows(/\[y\/N\]/);
    type("y", "Enter");
    await shows(/UP/);
    expect(screen()).toMatch(/TTY true,true,true/);
    expect(screen()).toMatch(/SIZE 100x30/);
    tmux("resize-window", "-x", "90", "-y", "25");
    await shows(/SIZE 90x25/);
    type("C-c");
    await shows(/GOT SIGINT/);
    type("a", "Enter");
    await shows(/KEY a/);
    type("q", "Enter");
    await shows(/STATUS 7/);
    await expectSane();
  });

  it("is sane again after an agent that left it in raw mode and was killed", async () => {
    start("--yes -- /opt/bot-bottle/bin/node /agent/agent.cjs raw; echo STATUS $?");
    await shows(/UP/);
    type("x");
    await shows(/KEY x/);
    type("C-c");
    type("q");
    await shows(/STATUS 7/);
    await expectSane();
    start("--yes -- /bin/sh -c 'stty raw -echo; kill -KILL $$'; echo STATUS $?");
    await shows(/STATUS 137/);
    await expectSane();
  });

  it("can be a shell, which has its prompt, its size and no power over the session outside", async () => {
    start("--yes -- /bin/sh -i; echo STATUS $?");
    await shows(/job control turned off\n\$/);
    type("stty size; id -u; exit 5", "Enter");
    await shows(/30 100\n1000/);
    await shows(/STATUS 5/);
    await expectSane();
  });

  it("cannot be typed into by its agent after the end", async () => {
    writeFileSync(
      join(home.root, "agent", "inject.pl"),
      'for my $c (split //, "echo INJECTED\\n") { for my $fd (*STDIN, *STDOUT, *STDERR) { ioctl($fd, 0x5412, $c) } } print "TRIED\\n";',
      { mode: 0o644 },
    );
    start("--yes -- /usr/bin/perl /agent/inject.pl; echo STATUS $?");
    await shows(/STATUS 0/);
    expect(screen()).toContain("TRIED");
    type("", "Enter");
    await expectSane();
    expect(screen()).not.toMatch(/^INJECTED/m);
  });

  it("asks for a value without showing it", async () => {
    home.bottle(
      "box",
      'agent_provider: { template: command, settings: { argv: [/bin/sh, -c, "echo VALUE $ASKED"] } }\nenv: { ASKED: "?a value please" }',
    );
    start("--yes; echo STATUS $?");
    await shows(/a value please/);
    type("-l", "hidden-answer-123456789012");
    type("Enter");
    await shows(/STATUS 0/);
    expect(screen().match(/hidden-answer-123456789012/g)).toHaveLength(1);
    expect(screen()).toContain("VALUE hidden-answer-123456789012");
    await expectSane();
  });

  it("closes when the terminal goes away, and loses no work", async () => {
    start("--yes --cwd -- /bin/sh -c 'echo work > made.txt; echo UP; exec sleep 300'");
    await shows(/^UP/m);
    tmux("kill-session");
    await vi.waitFor(() => expect(home.names("run")).toEqual([]), 15_000);
    const [slug = ""] = home.names("state");
    expect(
      execFileSync("cat", [join(home.home, "state", slug, "workspace", "made.txt")], {
        encoding: "utf8",
      }),
    ).toBe("work\n");
    tmux("new-session", "-d", "/bin/sh");
  });
});
