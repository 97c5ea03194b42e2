// What `start --dry-run` tells of a machine on which the start would fail, and that asking leaves no trace.
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CliHome } from "../support/cli-home.ts";

const COMMAND = "agent_provider: { template: command, settings: { argv: [/bin/true] } }";
const DRY = ["start", "worker", "--headless", "--dry-run"];

let home: CliHome;
beforeEach(() => {
  home = new CliHome();
});
afterEach(async () => {
  await home.expectNothingLeft();
  await home[Symbol.asyncDispose]();
});

interface Preview {
  readonly missing: readonly { readonly what: string; readonly hint: string | null }[];
  readonly not_tried: readonly string[];
}

async function preview(
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Preview> {
  const end = await home.run([...DRY, "--json", ...flags], { env });
  expect([end.code, end.stderr]).toEqual([0, ""]);
  // Only Node's own compiled code is kept.
  const kept = readdirSync(home.home, { recursive: true, encoding: "utf8" });
  expect(kept.filter((path) => !/^(?:agents|bottles|cache(?:$|\/code))/.test(path))).toEqual([]);
  return JSON.parse(end.stdout.toString()) as Preview;
}

describe("a dry run", () => {
  it("says that nothing is missing, and what only the start finds out", async () => {
    const end = await home.run([...DRY, "--backend", "bubblewrap"]);
    expect(end.code).toBe(0);
    expect(end.stdout.toString()).toMatch(/not tried.*namespaces/);
    expect(end.stdout.toString()).toContain("nothing is missing as far as can be seen");
  });

  it("names every variable and file that has no value, with its place and what to do", async () => {
    const token = join(home.root, "token");
    writeFileSync(token, "0123456789", { mode: 0o644 });
    home.bottle(
      "box",
      `${COMMAND}\nenv:\n  KEY: "\${NOT_SET_ONE}"\n  ASKED: "?the key"\negress:\n  routes:\n    - host: a.test\n      auth: { scheme: Bearer, token_ref: NOT_SET_TOKEN }\n    - host: b.test\n      auth: { scheme: Bearer, token_ref: { name: OPEN, file: ${token} } }`,
    );
    const { missing } = await preview(["--backend", "bubblewrap"]);
    const texts = missing.map(({ what, hint }) => `${what} -> ${hint}`).join("\n");
    const file = join(home.home, "bottles", "box.md");
    expect(missing).toHaveLength(4);
    expect(texts).toMatch(/NOT_SET_ONE is not set.*env\.KEY.* -> export NOT_SET_ONE=/);
    expect(texts).toContain(`${file}:4`);
    expect(texts).toMatch(/NOT_SET_TOKEN is not set.*a\.test.* -> export NOT_SET_TOKEN=/);
    expect(texts).toContain(`chmod 600 ${token}`);
    expect(texts).toMatch(/ASKED is asked for.*headless.* -> .*export ASKED=/);
  });

  it("names an upstream root that cannot be used, and where it is written", async () => {
    home.bottle("box", `${COMMAND}\negress:\n  upstream_ca: [no-such.pem]`);
    const { missing } = await preview(["--backend", "bubblewrap"]);
    expect(missing.map(({ what }) => what)).toEqual([
      expect.stringMatching(/upstream_ca does not exist: .*no-such\.pem, named in .*box\.md:\d+$/),
    ]);
  });

  it("says that programs are missing", async () => {
    const { missing } = await preview(["--backend", "bubblewrap"], { PATH: "/nowhere" });
    expect(missing[0]).toMatchObject({
      what: expect.stringContaining("bwrap"),
      hint: expect.stringContaining("apt-get install bubblewrap"),
    });
  });

  it("shows the plan where there is no container engine, and says so", async () => {
    const { missing } = await preview(["--backend", "docker"], {
      DOCKER_HOST: "unix:///nowhere/docker.sock",
    });
    expect(missing).toEqual([
      { what: expect.stringContaining("/nowhere/docker.sock"), hint: expect.any(String) },
    ]);
  });

  it("says what the bottle asks of a backend that has it not", async () => {
    home.bottle("box", `${COMMAND}\nattachment: tsi`);
    const { missing } = await preview(["--backend", "docker"], {
      DOCKER_HOST: "unix:///nowhere/docker.sock",
    });
    expect(missing.map(({ what }) => what).join()).toMatch(/attachment tsi/);
  });

  it("shows the plan where machines cannot run, and says all that is missing for them", async () => {
    const { missing } = await preview(["--backend", "smolmachines"]);
    const texts = missing.map(({ what }) => what).join("\n");
    expect(texts).toMatch(/smolvm/);
    expect(missing.every(({ hint }) => hint !== null)).toBe(true);
  });
});
