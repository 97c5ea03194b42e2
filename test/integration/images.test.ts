// Images on the real engine: built once, found again, and holding nothing that was not meant for them.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { chmod, mkdir, symlink, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { ImagePlan } from "../../src/backends/contract.ts";
import { type HostPath, parseHostPath } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/log.ts";
import type { Engine } from "../../src/engine/contract.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { openContext, readContext } from "../../src/images/context.ts";
import type { ImagePorts } from "../../src/images/contract.ts";
import { ensureBundleImage, ensureImage, releaseImage } from "../../src/images/ensure-image.ts";
import { imageKey } from "../../src/images/image-key.ts";
import { resolveBuild } from "../../src/images/resolve-build.ts";
import { exportRootfs, saveImage } from "../../src/images/store-image.ts";
import { readOwner } from "../../src/process/identity.ts";
import { createExec } from "../../src/process/spawn.ts";
import { countedEngine, removeFamilies, runInImage, testBase } from "../support/docker.ts";
import { spellings } from "../support/find-secrets.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

const ROOT = join(import.meta.dirname, "../..");
const COMMAND = {
  kind: "provider",
  template: "command",
  tag: "bot-bottle-test-command:latest",
} as const;
const SETTINGS = { baseImage: undefined, buildCa: undefined };

type Project = Extract<ImagePlan, { kind: "dockerfile" }>;

/** A directory with these files and a Dockerfile, as an image plan. */
async function project(files: Readonly<Record<string, string>>): Promise<Project> {
  const directory = tempDir("context-");
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(directory, path, ".."), { recursive: true });
    await writeFile(join(directory, path), text);
  }
  const dockerfile = parseHostPath(join(directory, "Dockerfile"));
  return {
    kind: "dockerfile",
    dockerfile,
    tag: `bot-bottle-test:${basename(directory).toLowerCase()}`,
  };
}

describe("images", requires("docker"), () => {
  let engine: Engine;
  let base: string;
  const families = new Set<string>([COMMAND.tag]);
  const progress: string[] = [];

  const ports = (over: Partial<ImagePorts> = {}): ImagePorts => ({
    engine,
    env: { BOT_BOTTLE_BASE_IMAGE: base },
    signal: undefined,
    onProgress: (line) => void progress.push(line),
    ...over,
  });

  /** Builds a project's image and sees to it that it goes. */
  const ensure = async (plan: Project, over?: Partial<ImagePorts>) => {
    families.add(resolveBuild(plan, SETTINGS, parseHostPath(ROOT)).family);
    return ensureImage(plan, ports(over));
  };

  beforeAll(async () => {
    base = testBase();
    engine = await openEngine(process.env);
    await removeFamilies(engine, families);
  });

  afterAll(async () => {
    await removeFamilies(engine, families);
    engine[Symbol.dispose]();
  });

  it("rest on a base that is made once, without a registry", () => {
    expect(testBase()).toBe(base);
    const seen = runInImage(base, [
      "bash",
      "-c",
      "id -u node; node -p 'process.versions.node'; for it in npm git ssh curl; do command -v $it; done; find / -xdev '(' -perm /6000 -o -name npmrc ')'",
    ]);
    const programs = ["/usr/local/bin/npm", "/usr/bin/git", "/usr/bin/ssh", "/usr/bin/curl", ""];
    expect(seen.split("\n")).toEqual(["1000", process.versions.node, ...programs]);
  });

  it("cost one request when nothing changed", async () => {
    const first = await ensureImage(COMMAND, ports());
    expect(progress).toContainEqual(expect.stringMatching(/Step 1\//));
    await using counted = await countedEngine();
    const again = await ensureImage(COMMAND, ports({ engine: counted.engine }));
    expect(again).toEqual(first);
    expect(counted.requests).toHaveLength(1);
    expect(runInImage(first.id, ["sh", "-c", "id -un; pwd"])).toBe("node\n/home/node\n");
  });

  it("are built again when the base is another", async () => {
    const first = await ensureImage(COMMAND, ports());
    const { id } = await ensureImage(COMMAND, ports({ env: { BOT_BOTTLE_BASE_IMAGE: first.id } }));
    expect(id).not.toBe(first.id);
    const back = await ensureImage(COMMAND, ports());
    expect(back.id).toBe(first.id);
    expect((await engine.images.inspect(COMMAND.tag))?.Id).toBe(first.id);
  });

  it("can be asked for by two launches at once", async () => {
    const plan = await project({ Dockerfile: `FROM ${base}\nRUN echo two >/two\n` });
    const [one, other] = await Promise.all([ensure(plan), ensure(plan)]);
    expect(runInImage(one.id, ["cat", "/two"])).toBe("two\n");
    expect(runInImage(other.id, ["cat", "/two"])).toBe("two\n");
  });

  it("of a bottle's Dockerfile hold its directory, but for what is ignored", async () => {
    const long = `${"d".repeat(90)}/${"ü".repeat(80)}.txt`;
    const plan = await project({
      Dockerfile: `FROM ${base}\nCOPY . /src\n`,
      ".dockerignore": "secret*\n!secret-not\n",
      "secret.txt": "no",
      "secret-not": "yes",
      "bin/tool": "#!/bin/sh\necho ran\n",
      [long]: "long",
      empty: "",
    });
    const directory = join(plan.dockerfile, "..");
    await chmod(join(directory, "bin/tool"), 0o700);
    await symlink("bin/tool", join(directory, "link"));
    const { id } = await ensure(plan);
    expect(runInImage(id, ["/src/link"])).toBe("ran\n");
    expect(runInImage(id, ["cat", `/src/${long}`])).toBe("long");
    expect(
      runInImage(id, ["ls", "/src"])
        .split("\n")
        .filter((it) => it.startsWith("s")),
    ).toEqual(["secret-not"]);
    const owners = runInImage(id, ["find", "/src", "!", "-user", "root"]);
    expect(owners).toBe("");
  });

  it("of a bottle's Dockerfile are shared by its bottles, and lose only the bottle's name", async () => {
    const plan = await project({ Dockerfile: `FROM ${base}\nCOPY note /note\n`, note: "one" });
    const first = await ensure(plan);
    const other = { ...plan, tag: `${plan.tag}-two` };
    expect((await ensure(other)).id).toBe(first.id);
    await releaseImage(plan, engine);
    await releaseImage(other, engine);
    await releaseImage(other, engine);
    expect(await engine.images.inspect(plan.tag)).toBeUndefined();
    await using counted = await countedEngine();
    expect((await ensure(plan, { engine: counted.engine })).id).toBe(first.id);
    expect(counted.requests.map((it) => it.split("?")[0]?.replace(/^.*\/v[\d.]+/, ""))).toEqual([
      expect.stringMatching(/^\/images\/.+%3Abuilt-.+\/json$/),
      `/images/${encodeURIComponent(first.id)}/tag`,
    ]);
    await writeFile(join(plan.dockerfile, "../note"), "two");
    const changed = await ensure(plan);
    expect(runInImage(changed.id, ["cat", "/note"])).toBe("two");
  });

  it("are never what another Dockerfile says of itself", async () => {
    const mine = await project({ Dockerfile: "FROM scratch\nCOPY note /\n", note: "mine" });
    const build = resolveBuild(mine, SETTINGS, parseHostPath(ROOT));
    const key = imageKey(build, await readContext(build, undefined));
    const labels = `bot-bottle.image-key=${key} bot-bottle.image-family=${build.family}`;
    const other = await project({
      Dockerfile: `FROM scratch AS a\nLABEL ${labels}\nCOPY note /\nFROM scratch\nCOPY --from=a /note /other\n`,
      note: "another's",
    });
    await ensure(other);
    const claimed = await engine.images.list({ "bot-bottle.image-key": key });
    expect(claimed).toHaveLength(1);
    const { id } = await ensure(mine);
    expect(claimed.map((it) => it.Id)).not.toContain(id);
  });

  it("are removed when newer ones came, but for the last few", async () => {
    const plan = await project({ Dockerfile: "FROM scratch\nCOPY note /\n", note: "0" });
    const { family } = resolveBuild(plan, SETTINGS, parseHostPath(ROOT));
    const ids: string[] = [];
    for (let number = 0; number < 6; number += 1) {
      await writeFile(join(plan.dockerfile, "../note"), `${number}`);
      ids.push((await ensure(plan)).id);
    }
    const kept = await engine.images.list({ "bot-bottle.image-family": family });
    expect(kept).toHaveLength(4);
    expect(kept.map((it) => it.Id)).toContain(ids.at(-1));
  });

  it("that cannot be built say which step failed, with its last words", async () => {
    const plan = await project({
      Dockerfile: `FROM ${base}\nRUN printf 'first\\n\\033[31mlast words\\n'; exit 3\n`,
    });
    await expect(ensure(plan)).rejects.toMatchObject({
      code: "launch.image",
      message: expect.stringMatching(/could not be built: .*code: 3[\s\S]*first\nlast words/),
      hint: expect.stringContaining(`edit ${plan.dockerfile}`),
      details: { step: expect.stringMatching(/^Step 2\/\d+ : RUN/) },
    });
    const noBase = await project({ Dockerfile: "FROM bot-bottle-test-none:1\n" });
    await expect(ensure(noBase)).rejects.toMatchObject({
      hint: expect.stringMatching(/BOT_BOTTLE_BASE_IMAGE.*make-base.*docs\/images\.md/),
    });
    const env = { BOT_BOTTLE_BASE_IMAGE: "bot-bottle-test-none:1" };
    await expect(ensureImage(COMMAND, ports({ env }))).rejects.toMatchObject({
      hint: expect.stringMatching(
        /BOT_BOTTLE_BASE_IMAGE is bot-bottle-test-none:1: run docker pull/,
      ),
    });
    const noRoots = { BOT_BOTTLE_BASE_IMAGE: base, BOT_BOTTLE_BUILD_CA: "/nowhere/roots.pem" };
    await expect(ensureImage(COMMAND, ports({ env: noRoots }))).rejects.toMatchObject({
      message: expect.stringContaining('BOT_BOTTLE_BUILD_CA is "/nowhere/roots.pem"'),
      hint: expect.stringContaining("docs/images.md"),
    });
    const noFile = { ...plan, dockerfile: parseHostPath(`${plan.dockerfile}.none`) };
    await expect(ensure(noFile)).rejects.toMatchObject({
      code: "launch.image",
      message: expect.stringMatching(/Dockerfile\.none cannot be read/),
    });
  });

  it("are refused for a context that was not meant as one", async () => {
    const plan = await project({ Dockerfile: `FROM ${base}\n`, large: "" });
    await truncate(join(plan.dockerfile, "../large"), 513 * 1024 * 1024);
    await expect(ensure(plan)).rejects.toMatchObject({
      message: expect.stringContaining("larger than 512 MiB"),
      hint: expect.stringContaining(".dockerignore"),
    });
  });

  it("never carry the key of content that changed while it was sent", async () => {
    const plan = await project({ Dockerfile: `FROM ${base}\nCOPY note /note\n`, note: "one" });
    const build = resolveBuild(plan, SETTINGS, parseHostPath(ROOT));
    const entries = await readContext(build, undefined);
    await writeFile(join(plan.dockerfile, "../note"), "two");
    const request = { context: openContext(entries), dockerfile: "Dockerfile", tags: [build.tag] };
    await expect(engine.images.build(request)).rejects.toThrow();
    expect(await engine.images.inspect(plan.tag)).toBeUndefined();
  });

  it("by name or id have to exist", async () => {
    const found = await ensureImage({ kind: "reference", reference: base }, ports());
    expect(found.id).toMatch(/^sha256:[0-9a-f]{64}$/);
    const byId = await ensureImage({ kind: "reference", reference: found.id }, ports());
    expect(byId.id).toBe(found.id);
    const reference = "bot-bottle-test-none:1";
    await expect(ensureImage({ kind: "reference", reference }, ports())).rejects.toMatchObject({
      code: "launch.image",
      hint: expect.stringContaining("BOT_BOTTLE_IMAGE"),
    });
  });

  it("hold no secret of the operator's, nor what a build only needed", async () => {
    const planted = `sk-planted-${createHash("sha256").update(String(process.pid)).digest("hex")}`;
    const roots = join(tempDir("roots-"), "roots.pem");
    await writeFile(roots, `-----BEGIN CERTIFICATE-----\n${planted}\n-----END CERTIFICATE-----\n`);
    const env = {
      BOT_BOTTLE_BASE_IMAGE: base,
      BOT_BOTTLE_BUILD_CA: roots,
      ANTHROPIC_API_KEY: planted,
      NPM_TOKEN: planted,
      HTTPS_PROXY: `http://user:${planted}@127.0.0.1:1`,
    };
    const plan = await project({
      Dockerfile: "FROM scratch\nCOPY note /\n",
      note: "found in the layers",
      ".env": planted,
    });
    const ids = [(await ensureImage(COMMAND, ports({ env }))).id, (await ensure(plan, { env })).id];
    // What is searched for would have been found.
    const needles = [...spellings(planted), Buffer.from("found in the layers")];
    expect(await foundInArchive(engine, ids, needles)).toEqual([needles.at(-1)]);
  });

  it("never take a private key for a certificate", async () => {
    const roots = join(tempDir("roots-"), "roots.pem");
    const key = "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n";
    await writeFile(roots, `-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n${key}`);
    const env = { BOT_BOTTLE_BASE_IMAGE: base, BOT_BOTTLE_BUILD_CA: roots };
    await expect(ensureImage(COMMAND, ports({ env }))).rejects.toThrow(/private key/);
  });

  it("run the bundle as PID 1 of an ordinary user, until its owner is gone", async () => {
    const { id } = await ensureBundleImage(parseHostPath(join(ROOT, "dist/bundle.js")), ports());
    const argv = ["run", "--rm", "-i", "--network", "none", "--read-only", id];
    const stdio: ["ignore", "pipe", "pipe"] = ["ignore", "pipe", "pipe"];
    // A closed control pipe is a dead owner: it exits at once, and well.
    execFileSync("docker", argv, { stdio, timeout: 20_000 });
    expect(runInImage(id, ["sh", "-c", "id -u; command -v git ssh"])).toMatch(/^1000\n\/usr\/bin/);
    const reference = "bot-bottle-test-none:1";
    const env = { BOT_BOTTLE_SIDECAR_IMAGE: reference };
    const entry = parseHostPath("/nowhere/bundle.js");
    await expect(ensureBundleImage(entry, ports({ env }))).rejects.toThrow(reference);
  });

  it("are copied out of the engine once, as an archive and as a root", async () => {
    const plan = await project({ Dockerfile: "FROM scratch\nCOPY kept /\n", kept: "kept\n" });
    const { id } = await ensure(plan);
    const cache = parseHostPath(tempDir("cache-"));
    await using counted = await countedEngine();
    const store = (into: HostPath) => ({
      archive: () => saveImage(id, into, storePorts(counted.engine)),
      root: () => exportRootfs(id, into, storePorts(counted.engine)),
    });
    // What a killed process left goes with the next export; what a live one does stays.
    const exports = { "bot-bottle.role": "export" };
    const owner = readOwner();
    const left = [{ ...owner, start_time: "1" }, owner].map((it) => ({
      Image: id,
      Cmd: ["-"],
      Labels: { ...exports, "bot-bottle.owner": Object.values(it).join(" ") },
      HostConfig: {},
    }));
    const made = [];
    for (const [index, body] of left.entries())
      made.push(
        await engine.containers.create(`bot-bottle-test-left-${index}-${process.pid}`, body),
      );
    const archive = await store(cache).archive();
    const root = await store(cache).root();
    expect(execFileSync("cat", [join(root, "kept")], { encoding: "utf8" })).toBe("kept\n");
    expect(execFileSync("tar", ["-tf", archive], { encoding: "utf8" })).toContain("manifest.json");
    counted.requests.length = 0;
    expect(await store(cache).archive()).toBe(archive);
    expect(await store(cache).root()).toBe(root);
    expect(counted.requests).toEqual([]);
    const still = (await engine.containers.list(exports)).map((it) => it.Id);
    for (const it of made) await engine.containers.remove(it);
    expect(made.map((it) => still.includes(it))).toEqual([false, true]);
  });
});

describe("copies of images", requires("docker"), () => {
  it("stay while the process that took them lives, however many there are", async () => {
    using engine = await openEngine(process.env);
    const cache = parseHostPath(tempDir("cache-"));
    const roots = join(cache, "image-roots");
    const tree = join(tempDir("empty-"), "empty.tar");
    writeFileSync(tree, Buffer.alloc(1024));
    const take = async (number: number): Promise<string> => {
      const change = `LABEL test=${process.pid}.${number}`;
      const id = execFileSync("docker", ["import", "--change", change, tree], { encoding: "utf8" });
      onTestFinished(() => void execFileSync("docker", ["rmi", id.trim()], { stdio: "ignore" }));
      return exportRootfs(id.trim(), cache, storePorts(engine));
    };
    const taken: string[] = [];
    for (let number = 0; number < 6; number += 1) taken.push(await take(number));
    expect(taken.filter((path) => !existsSync(path))).toEqual([]);
    // As if the process had died that took them.
    for (const note of readdirSync(join(roots, ".leases")))
      renameSync(
        join(roots, ".leases", note),
        join(roots, ".leases", note.replace(`~${readOwner().start_time}~`, "~1~")),
      );
    const last = await take(6);
    expect(existsSync(last)).toBe(true);
    expect(readdirSync(roots).filter((name) => !name.startsWith("."))).toHaveLength(4);
    expect(readdirSync(join(roots, ".leases"))).toHaveLength(1);
  });
});

const storePorts = (engine: Engine) => ({
  engine,
  exec: createExec({ log: silentLogger }),
  searchPath: process.env["PATH"] ?? "",
  signal: undefined,
  onProgress: () => undefined,
});

/** Which of these are in saved images, configuration and history included; layers are not compressed there. */
async function foundInArchive(engine: Engine, ids: readonly string[], needles: readonly Buffer[]) {
  const overlap = Math.max(...needles.map((it) => it.length));
  const found = new Set<Buffer>();
  let tail = Buffer.alloc(0);
  for await (const chunk of await engine.images.save(ids)) {
    const bytes = Buffer.concat([tail, Buffer.from(chunk)]);
    for (const needle of needles) if (bytes.includes(needle)) found.add(needle);
    tail = bytes.subarray(-overlap);
  }
  return [...found];
}
