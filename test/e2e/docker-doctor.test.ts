// What `doctor` says of the container engine: what was probed where there is one, why not and what to do where there is none.
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ended } from "../support/built-cli.ts";
import { CliHome } from "../support/cli-home.ts";
import { docker } from "../support/docker-command.ts";
import { requires } from "../support/requires.ts";

const ORDINARY_UID = 65_534;

interface Check {
  readonly kind: string;
  readonly name: string;
  readonly state: string;
  readonly found: string;
  readonly hint?: string;
  readonly details: Readonly<Record<string, string>>;
}

const checkOf = (end: Ended): Check => {
  const { checks } = JSON.parse(end.stdout.toString()) as { checks: Check[] };
  const found = checks.find(({ kind, name }) => kind === "backend" && name === "docker");
  if (found === undefined) throw new Error("doctor says nothing of docker");
  return found;
};

let home: CliHome;
beforeEach(() => {
  home = new CliHome();
});
afterEach(async () => {
  await home.expectNothingLeft();
  await home[Symbol.asyncDispose]();
});

describe("doctor with an engine", requires("docker"), () => {
  it("prints what was probed, for programs and for people", async () => {
    const end = await home.run(["doctor", "--json"]);
    expect(end.code).toBe(0);
    const { state, found, details } = checkOf(end);
    expect([state, found]).toEqual(["ok", docker("version", "--format", "{{.Server.Version}}")]);
    expect(details).toEqual({
      endpoint: expect.stringMatching(/docker\.sock \(.+\)$/),
      api: expect.stringMatching(/^1\.\d\d$/),
      storage: docker("info", "--format", "{{.Driver}}"),
      cgroup: expect.stringMatching(/^v[12] \(\w+\)$/),
      runtimes: expect.stringContaining("runc"),
      "shares kernel": "yes: same boot id",
      attachment: "sockets",
      internal: expect.stringMatching(/^works: |^refused at launch: .*sysctl -w /),
      gvisor: expect.stringMatching(/^used for every bottle|^not (used|registered)/),
    });
    const text = (await home.run(["doctor"])).stdout.toString();
    for (const [name, value] of Object.entries(details))
      expect(text).toContain(`${name}: ${value}`);
  });
});

describe("doctor without an engine", () => {
  it.each([
    ["unix:///nonexistent/engine.sock", /cannot be reached: .*ENOENT/, /DOCKER_HOST/],
    ["tcp://127.0.0.1:1", /cannot be reached: .*ECONNREFUSED/, /start the container engine/],
    ["ssh://somebody@some.example.test", /ssh:\/\/ are not spoken to, because/, /docker context/],
    ["bogus", /"bogus" \(DOCKER_HOST\).*is expected/, /set DOCKER_HOST to/],
    ["unix://", /absolute path/, /set DOCKER_HOST to/],
  ])("at %s says why, and what to do", async (DOCKER_HOST, reason, remedy) => {
    const end = await home.run(["doctor", "--json"], { env: { DOCKER_HOST } });
    const { state, found, hint } = checkOf(end);
    expect(state).not.toBe("ok");
    expect([found, hint]).toEqual([expect.stringMatching(reason), expect.stringMatching(remedy)]);
  });

  it("names the context that does not exist", async () => {
    const { found, hint } = checkOf(
      await home.run(["doctor", "--json"], { env: { DOCKER_CONTEXT: "nope" } }),
    );
    expect(found).toContain('the docker context "nope"');
    expect(hint).toContain("docker context ls");
  });

  it("ends with 69 where nothing else works, and with 0 where something does", async () => {
    const DOCKER_HOST = "unix:///nonexistent/engine.sock";
    const none = await home.run(["doctor"], {
      env: { DOCKER_HOST, PATH: join(home.root, "none") },
    });
    expect([none.code, none.stdout.toString()]).toEqual([
      69,
      expect.stringMatching(/^FAIL docker[^]*no backend works on this machine/m),
    ]);
  });

  it(
    "fails a backend that was asked for, and only warns of one that was not",
    requires("bwrap", "userns"),
    async () => {
      const DOCKER_HOST = "unix:///nonexistent/engine.sock";
      const warned = await home.run(["doctor", "--json"], { env: { DOCKER_HOST } });
      expect([warned.code, checkOf(warned).state]).toEqual([0, "absent"]);
      const asked = { DOCKER_HOST, BOT_BOTTLE_BACKEND: "docker" };
      expect(checkOf(await home.run(["doctor", "--json"], { env: asked })).state).toBe("missing");
    },
  );
});

describe("doctor for one who may not use the engine", requires("docker", "root"), () => {
  it("says which group may", async () => {
    chmodSync(home.root, 0o755);
    const end = await home.run(["doctor", "--json"], { uid: ORDINARY_UID });
    const { state, found, hint } = checkOf(end);
    expect(state).not.toBe("ok");
    expect(found).toMatch(/EACCES/);
    expect(hint).toMatch(/usermod -aG docker/);
  });
});
