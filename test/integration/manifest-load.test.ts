// Loading from a real directory tree: names, shadows, rivals, links, and that one broken file blocks nobody else.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ManifestError } from "../../src/base/errors.ts";
import { parseHostPath } from "../../src/base/ids.ts";
import { homePaths } from "../../src/base/paths.ts";
import { listManifest } from "../../src/manifest/list-manifest.ts";
import { loadManifest } from "../../src/manifest/load.ts";
import { readConfirmations, saveConfirmation } from "../../src/manifest/read.ts";
import type { Manifest } from "../../src/manifest/types.ts";

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "bot-bottle-manifest-")));
  mkdirSync(join(root, "repo"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string | Uint8Array): string {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

const front = (yaml: string, body = ""): string => `---\n${yaml}\n---\n${body}`;
const home = () => homePaths(parseHostPath(join(root, "home/.bot-bottle")));
const repo = (): string => join(root, "repo");

function load(agentName: string, ...bottleNames: string[]): Promise<Manifest> {
  const userHome = parseHostPath(join(root, "home"));
  return loadManifest({ home: home(), cwd: repo(), userHome, agentName, bottleNames });
}

async function failure(agentName: string, ...bottleNames: string[]): Promise<ManifestError> {
  const error = await load(agentName, ...bottleNames).catch((it: unknown) => it);
  if (!(error instanceof ManifestError))
    throw new Error("a ManifestError is expected", { cause: error });
  return error;
}

it("loads an agent with its bottle and the bottle's parents", async () => {
  write("home/.bot-bottle/bottles/base.md", front("env: {A: a}"));
  write(
    "home/.bot-bottle/bottles/web.md",
    front("extends: base\nagent_provider: {dockerfile: x/Dockerfile}"),
  );
  write("home/.bot-bottle/agents/dev.md", front("bottle: web", "\nHello.\n"));
  const { agent, bottle, warnings } = await load("dev");
  expect(agent).toMatchObject({ name: "dev", origin: "home", prompt: "Hello." });
  expect(agent.digest).toMatch(/^[0-9a-f]{64}$/);
  expect(bottle.names).toEqual(["base", "web"]);
  expect(bottle.env).toEqual({ A: { kind: "literal", value: "a" } });
  expect(bottle.provider.dockerfile).toBe(join(home().bottles, "x/Dockerfile"));
  expect(warnings).toEqual([]);
});

it("does not read what is not needed", async () => {
  write("home/.bot-bottle/bottles/web.md", front(""));
  write("home/.bot-bottle/bottles/broken.md", "nonsense");
  write("home/.bot-bottle/agents/dev.md", front("bottle: web"));
  write("home/.bot-bottle/agents/broken.md", "nonsense");
  mkdirSync(join(home().agents, "folder.md"));
  expect((await load("dev")).agent.name).toBe("dev");
  const index = await listManifest(home(), repo());
  expect(index.agents.map((it) => it.name)).toEqual(["broken", "dev", "folder"]);
  expect((await failure("broken")).code).toBe("manifest.invalid");
  expect((await failure("folder")).code).toBe("manifest.unreadable");
});

it("merges the bottles that the operator names, in order", async () => {
  write("home/.bot-bottle/bottles/a.md", front("env: {X: a}"));
  write("home/.bot-bottle/bottles/b.md", front("env: {X: b}"));
  write("home/.bot-bottle/agents/dev.md", front("bottle: gone"));
  expect((await load("dev", "b", "a")).bottle.env).toEqual({ X: { kind: "literal", value: "a" } });
  expect((await failure("dev")).message).toContain('no bottle "gone"; there are a, b');
  expect((await failure("dev", "c")).code).toBe("manifest.unknown-bottle");
  write("home/.bot-bottle/agents/bare.md", front(""));
  expect((await failure("bare")).hint).toBe("pass --bottle NAME (a, b)");
});

it("reports the faults of the agent and of every bottle together", async () => {
  write("home/.bot-bottle/bottles/base.md", front("evn: {}"));
  write("home/.bot-bottle/bottles/web.md", front("extends: base\nlimits: {cpus: no}"));
  write("home/.bot-bottle/agents/dev.md", front("skils: []"));
  const { issues } = await failure("dev", "web");
  expect(issues.map((it) => [it.file.replace(home().home, ""), it.line, it.path])).toEqual([
    ["/agents/dev.md", 2, "skils"],
    ["/bottles/web.md", 3, "limits.cpus"],
    ["/bottles/base.md", 2, "evn"],
  ]);
});

it("names the nearest agent", async () => {
  write("home/.bot-bottle/agents/reviewer.md", front(""));
  expect((await failure("reviwer")).message).toBe('no agent "reviwer"; did you mean reviewer');
});

it("takes agents from the repository, never bottles, and lets the operator's agent win", async () => {
  write("home/.bot-bottle/bottles/web.md", front("env: {A: home}"));
  write("home/.bot-bottle/agents/dev.md", front("bottle: web", "mine"));
  write("repo/.bot-bottle/agents/dev.md", front("bottle: web", "theirs"));
  write("repo/.bot-bottle/agents/guest.md", front("bottle: web", "guest"));
  write("repo/.bot-bottle/bottles/web.md", front("env: {A: repository}"));
  write("repo/.bot-bottle/bottles/evil.md", front(""));
  const mine = await load("dev");
  expect(mine.agent).toMatchObject({ origin: "home", prompt: "mine" });
  expect(mine.warnings).toEqual([
    `${repo()}/.bot-bottle/agents/dev.md is ignored: your own agent dev wins over the repository's`,
    `${repo()}/.bot-bottle/bottles is ignored: bottles come only from ${home().bottles}`,
  ]);
  const guest = await load("guest");
  expect(guest.agent).toMatchObject({ origin: "repository", prompt: "guest" });
  expect(guest.bottle.env).toEqual({ A: { kind: "literal", value: "home" } });
  expect((await failure("guest", "evil")).code).toBe("manifest.unknown-bottle");
});

it("refuses a repository's file that leads out of it, is no file, too long or not text", async () => {
  write("home/.bot-bottle/bottles/web.md", front(""));
  const secret = write("home/secret", front("bottle: web"));
  const agents = join(repo(), ".bot-bottle/agents");
  mkdirSync(agents, { recursive: true });
  symlinkSync(secret, join(agents, "out.md"));
  symlinkSync("../../../home/secret", join(agents, "dots.md"));
  symlinkSync("loop.md", join(agents, "loop.md"));
  symlinkSync("gone", join(agents, "gone.md"));
  const program = "mkfifo";
  execFileSync(program, [join(agents, "pipe.md")]);
  write("repo/.bot-bottle/agents/long.md", front("bottle: web", "x".repeat(1024 * 1024)));
  write("repo/.bot-bottle/agents/latin.md", Buffer.from("---\nbottle: web\n---\n\xe9\n", "latin1"));
  write("repo/notes.md", front("bottle: web"));
  symlinkSync("../../notes.md", join(agents, "inside.md"));
  for (const name of ["out", "dots", "loop", "gone", "pipe", "long"]) {
    expect([name, (await failure(name, "web")).code]).toEqual([name, "manifest.unreadable"]);
  }
  expect((await failure("latin")).issues).toMatchObject([{ line: 4 }]);
  expect((await load("inside")).agent.origin).toBe("repository");
});

it("refuses a repository whose whole directory leads out of it", async () => {
  write("home/.bot-bottle/bottles/web.md", front(""));
  write("elsewhere/agents/dev.md", front("bottle: web"));
  symlinkSync(join(root, "elsewhere"), join(repo(), ".bot-bottle"));
  expect((await failure("dev")).message).toContain("leads outside the repository");
});

it("does not take the operator's own home for a repository", async () => {
  write("home/.bot-bottle/bottles/web.md", front(""));
  write("home/.bot-bottle/agents/dev.md", front("bottle: web"));
  const userHome = join(root, "home");
  expect(await listManifest(home(), userHome)).toMatchObject({
    agents: [{ origin: "home" }],
    warnings: [],
  });
});

it("refuses a name that two files claim, and only that name", async () => {
  write("home/.bot-bottle/bottles/web.md", front(""));
  write("home/.bot-bottle/bottles/WEB.MD", front(""));
  write("home/.bot-bottle/bottles/other.md", front(""));
  write("home/.bot-bottle/bottles/Loud.md", front(""));
  write("home/.bot-bottle/bottles/readme.txt", "");
  write("home/.bot-bottle/agents/dev.md", front("bottle: web"));
  const error = await failure("dev");
  expect(error.code).toBe("manifest.duplicate");
  expect(error.message).toContain("WEB.MD");
  expect((await load("dev", "other")).bottle.names).toEqual(["other"]);
  const { bottles, warnings } = await listManifest(home(), repo());
  expect(bottles.map((it) => it.name)).toEqual(["other", "web"]);
  expect(warnings.join()).toContain("Loud.md is ignored");
});

it("says that a manifest of an earlier version is not read", async () => {
  write("home/bot-bottle.json", "{}");
  const { warnings } = await listManifest(home(), repo());
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain("bot-bottle.json is of an earlier version");
  expect((await failure("dev")).details["warnings"]).toEqual(warnings);
  write("home/.bot-bottle/agents/dev.md", front(""));
  expect((await listManifest(home(), repo())).warnings).toEqual([]);
});

it("keeps confirmations in a file of its own", async () => {
  expect(await readConfirmations(home())).toEqual([]);
  const confirmation = { digest: "c".repeat(64), file: "/repo/a.md", bottle: "web" };
  await saveConfirmation(home(), confirmation);
  await saveConfirmation(home(), confirmation);
  expect(await readConfirmations(home())).toEqual([confirmation]);
  write("home/.bot-bottle/confirmed.json", "{");
  await expect(readConfirmations(home())).rejects.toMatchObject({ code: "manifest.unreadable" });
});
