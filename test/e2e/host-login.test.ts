// The operator's own login: used by the bottle, never in it, read anew when it changes; and what the operator is told.
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CliHome, failureOf } from "../support/cli-home.ts";
import { requires } from "../support/requires.ts";
import { Sink } from "../support/sink.ts";

const OLD = "sk-ant-oat01-old-Qw1Er2Ty3Ui4Op5As6Df7";
const NEW = "sk-ant-oat01-new-Gh8Jk9Lz0Xc1Vb2Nm3Qa";
const HOUR_MS = 3_600_000;

/** What runs in the guest: asks until the API takes its login, and shows what it holds. */
const AGENT = `
(async () => {
  const token = process.env.CLAUDE_CODE_OAUTH_TOKEN;
  console.log("token " + token);
  for (let i = 0; i < 200; i += 1) {
    const answer = await fetch("https://api.anthropic.com/v1/messages", {
      method: "POST", body: "{}", headers: { authorization: "Bearer " + token },
    });
    console.log(answer.status + " " + (await answer.text()).trim());
    if (answer.status === 200) return;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  }
})();`;

describe("a bottle with the operator's login", requires("bwrap"), () => {
  let home: CliHome;
  let sink: Sink;
  let file: string;

  beforeEach(async () => {
    sink = await new Sink().open();
    home = new CliHome(`
agent_provider: { template: claude, forward_host_credentials: true }
egress:
  upstream_ca: [../ca.pem]
  resolve: { api.anthropic.com: "127.0.0.1:${sink.httpsPort}" }`);
    writeFileSync(join(home.home, "ca.pem"), sink.caPem);
    mkdirSync(join(home.root, ".claude"), { mode: 0o700 });
    file = join(home.root, ".claude/.credentials.json");
    login(OLD, Date.now() + HOUR_MS);
  });
  afterEach(async () => {
    await home[Symbol.asyncDispose]();
    await sink[Symbol.asyncDispose]();
  });

  function login(accessToken: string, expiresAt: number): void {
    const claudeAiOauth = { accessToken, refreshToken: "sk-ant-ort01-refresh", expiresAt };
    writeFileSync(`${file}.new`, JSON.stringify({ claudeAiOauth }), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  it("uses it without having it, and the renewed one as soon as the API refuses the old", async () => {
    sink.answer = (arrived, response) => {
      const isNew = arrived.headers.authorization === `Bearer ${NEW}`;
      if (!isNew) login(NEW, Date.now() + HOUR_MS);
      response.statusCode = isNew ? 200 : 401;
      response.end(`you sent ${arrived.headers.authorization}\n`);
    };
    const ended = await home.run([
      "start",
      "worker",
      "--headless",
      "--",
      "/opt/bot-bottle/bin/node",
      "--use-env-proxy",
      "-e",
      AGENT,
    ]);
    expect(ended.stderr).not.toContain("error [");
    expect(ended.stdout.toString()).toMatch(/^token bot-bottle-placeholder-/);
    expect(ended.stdout.toString()).toMatch(/^401 you sent Bearer \*+/m);
    expect(ended.stdout.toString()).toMatch(/^200 you sent Bearer \*+/m);
    const seen = sink.arrived.map((it) => it.headers.authorization);
    expect(new Set(seen)).toEqual(new Set([`Bearer ${OLD}`, `Bearer ${NEW}`]));
    for (const secret of [OLD, NEW, "sk-ant-ort01"])
      expect(ended.stdout.toString() + ended.stderr).not.toContain(secret);
    // The file is the operator's: it is as the operator's own agent left it.
    expect(readFileSync(file, "utf8")).toContain(NEW);
    const [slug = ""] = home.names("audit");
    expect(readFileSync(join(home.home, "audit", slug), "utf8")).not.toContain("sk-ant");
    await home.expectNothingLeft();
  });

  it("tells the operator at once when it must be renewed", async () => {
    sink.answer = (_arrived, response) => {
      response.statusCode = sink.arrived.length < 3 ? 401 : 200;
      response.end("no\n");
    };
    const ended = await home.run([
      "start",
      "worker",
      "--headless",
      "--",
      "/opt/bot-bottle/bin/node",
      "--use-env-proxy",
      "-e",
      AGENT,
    ]);
    expect(ended.stderr).toMatch(/the claude login: the API no longer takes it/);
    expect(ended.stderr).toMatch(/hint: run claude on this machine, and \/login/);
  });

  it.each([
    [
      "has run out",
      () => login(OLD, Date.now() - 1000),
      /has run out at 20/,
      /run claude on this machine/,
    ],
    [
      "is missing",
      () => renameSync(file, `${file}.away`),
      /does not exist/,
      /run claude on this machine/,
    ],
    ["is no login", () => writeFileSync(file, "{}"), /none of a Claude account/, /run claude/],
    ["can be read by others", () => chmodSync(file, 0o644), /can be read by others/, /^chmod 600 /],
  ])("is refused where the login %s", async (_, spoil, message, hint) => {
    spoil();
    const ended = await home.sh("true");
    expect(ended.code).toBe(125);
    const failure = failureOf(ended);
    expect(failure.code).toBe("launch.host-login");
    expect(failure.message).toMatch(message);
    expect(failure.hint).toMatch(hint);
    expect(home.names("state")).toEqual([]);
  });

  it("is refused where the file would come into the guest otherwise", async () => {
    const ended = await home.run(["start", "worker", "--cwd", "--headless", "--", "true"], {
      cwd: home.root,
    });
    expect(failureOf(ended).message).toMatch(/lies in the workspace/);
    home.bottle(
      "box",
      `agent_provider: { template: claude, forward_host_credentials: true }\nmounts: [{ host: "${home.root}", guest: /ref }]`,
    );
    expect(failureOf(await home.sh("true")).code).toBe("manifest.invalid");
  });

  it("is explained before the start and from what is kept", async () => {
    const url = "https://api.anthropic.com/v1/messages";
    const before = await home.run([
      "policy",
      "explain",
      "worker",
      url,
      "--method",
      "post",
      "--json",
    ]);
    expect([before.code, JSON.parse(before.stdout.toString())]).toMatchObject([
      0,
      { verdict: "allow", rule: "provider.claude", asked: `POST ${url}` },
    ]);
    await home.sh("true", { flags: ["--keep"] });
    const [slug = ""] = home.names("state");
    const after = await home.run(["policy", "explain", slug, "https://example.com/"]);
    expect(after.code).toBe(77);
    const odd = await home.run(["policy", "explain", slug, url, "--method", "B D"]);
    expect([odd.code, failureOf(odd).message]).toEqual([64, expect.stringMatching(/is no method/)]);
    for (const text of ["example.com", "ftp://example.com/", "https://a b/", "https://"]) {
      const malformed = await home.run(["policy", "explain", slug, text]);
      expect([malformed.code, failureOf(malformed).code]).toEqual([64, "usage.invalid"]);
    }
    expect(after.stdout.toString()).toMatch(/^refused \(host-not-allowed\) by default-deny/);
    expect((await home.run(["policy", "show", slug])).stdout.toString()).toMatch(
      /^provider\.claude: api\.anthropic/,
    );
  });
});
