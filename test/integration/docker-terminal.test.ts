// The operator's terminal while a program in a container has it: the program sees the size that the terminal has, from first to last.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeWorld } from "../support/bottle-world.ts";
import { testBase } from "../support/docker.ts";
import { requires } from "../support/requires.ts";

const root = join(import.meta.dirname, "../..");
const driver = join(root, "test/fixtures/programs/on-terminal.py");
const main = join(root, "src/cli/main.ts");

/** Says each size that the terminal has in turn, and ends with the one that is waited for. */
const WATCH = `last=; n=0; while [ $n -lt 150 ]; do size=$(stty size)
[ "$size" = "$last" ] || echo "size is $size."; last=$size
[ "$size" = "$1" ] && exit 0; n=$((n + 1)); sleep 0.1; done; exit 3`;

describe("a program in a container on the terminal", requires("docker", "python3"), () => {
  it("is told each new size of it", () => {
    const world = makeWorld();
    const program = ["sh", "-c", WATCH, "sh", "50 150"];
    const cli = ["start", "worker", "--yes", "--backend", "docker", "--", ...program];
    const { stdout, stderr } = spawnSync("python3", [driver, process.execPath, main, ...cli], {
      encoding: "utf8",
      cwd: world.project,
      env: {
        ...world.env,
        BOT_BOTTLE_HOME: world.home.home,
        BOT_BOTTLE_IMAGE: testBase(),
        TERM: "xterm",
        NO_COLOR: "1",
        PLAY: JSON.stringify([
          ["", "SIZE 30 90"],
          ["size is 30 90.", "SIZE 40 133"],
          ["size is 40 133.", "SIZE 50 150"],
        ]),
      },
    });
    expect(stderr).toBe("");
    const { status, output, restored } = JSON.parse(stdout) as Played;
    expect(output).toContain("size is 50 150.");
    expect(status).toBe(0);
    expect(restored).toBe(true);
  });
});

interface Played {
  readonly status: number;
  readonly output: string;
  readonly restored: boolean;
}
