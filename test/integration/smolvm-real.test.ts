// The real smolvm of several releases, as far as it answers without a virtual machine: what the backend builds on is so.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { explainExit } from "../../src/backends/smolmachines/explain.ts";
import {
  explainUnfit,
  hasFlag,
  readFeatures,
  requireSockets,
  type SmolvmFeatures,
} from "../../src/backends/smolmachines/features.ts";
import { findStatusFaults, parseStatus } from "../../src/backends/smolmachines/machine-status.ts";
import { preparePackage } from "../../src/backends/smolmachines/package.ts";
import { findSmolvm, type SmolvmProgram } from "../../src/backends/smolmachines/program.ts";
import { Smolvm } from "../../src/backends/smolmachines/smolvm.ts";
import { makeStateDir } from "../../src/backends/smolmachines/state-dir.ts";
import { type HostPath, parseHostPath } from "../../src/base/ids.ts";
import { createExec } from "../../src/process/spawn.ts";
import { requires } from "../support/requires.ts";
import { type Answer, runCases } from "../support/smolvm-cases.ts";

const SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
const MINUTE_MS = 60_000;
const exec = createExec();
const root = mkdtempSync(join(tmpdir(), "bb-smolvm-"));
const cacheDir = parseHostPath(join(root, "cache"));
const folders = new Map<string, string>();

beforeAll(() => {
  const fetch = join(import.meta.dirname, "../../scripts/smolvm/fetch.sh");
  for (const version of ["1.32.2", "1.8.1", "1.4.0"])
    folders.set(version, execFileSync(fetch, [version], { encoding: "utf8" }).trim());
}, 10 * MINUTE_MS);

afterAll(() => rmSync(root, { recursive: true, force: true }));

const find = (version: string): Promise<SmolvmProgram> =>
  findSmolvm({ env: { BOT_BOTTLE_SMOLVM: folders.get(version) }, searchPath: SEARCH_PATH });

async function featuresOf(version: string, cache?: HostPath): Promise<SmolvmFeatures> {
  const { program } = await find(version);
  return readFeatures({ argv: [program], env: {}, exec, program, cacheDir: cache });
}

async function openSmolvm(version: string, name: string, given?: SmolvmProgram): Promise<Smolvm> {
  const program = given ?? (await find(version));
  const stateDir = parseHostPath(join(root, `run/0000000${name}/smolvm`));
  mkdirSync(join(stateDir, ".."), { recursive: true });
  makeStateDir(stateDir, undefined);
  const access = { kind: "own", uid: 0, gid: 0 } as const;
  const features = await featuresOf(version);
  return new Smolvm({ program, features, access, stateDir, exec, searchPath: SEARCH_PATH });
}

function rootfs(): string {
  mkdirSync(join(root, "rootfs/bin"), { recursive: true });
  return join(root, "rootfs");
}

describe("the real smolvm", requires("linux", "python3"), () => {
  it.each(["1.32.2", "1.8.1"])("%s answers as recorded", (version) => {
    const folder = folders.get(version) ?? "";
    const env = { SMOLVM_LIB_DIR: folder, LD_LIBRARY_PATH: folder };
    const recorded = join(import.meta.dirname, `../fixtures/smolvm/answers-${version}.json`);
    const answers: Answer[] = runCases([join(folder, "smol-vmm")], env);
    expect(answers).toEqual(JSON.parse(readFileSync(recorded, "utf8")));
  });

  it.each(["1.32.2", "1.8.1"])("%s has every flag that a bottle needs", async (version) => {
    const features = await featuresOf(version);
    expect(features.version).toBe(version);
    expect(explainUnfit(features)).toBeUndefined();
    expect(hasFlag(features, "create", "user")).toBe(version === "1.32.2");
    expect(hasFlag(features, "create", "state-dir")).toBe(version === "1.32.2");
    expect(hasFlag(features, "create", "stop-on-exit")).toBe(version === "1.32.2");
  });

  it("1.4.0 is refused with the reason and the update", async () => {
    const features = await featuresOf("1.4.0");
    expect(() => requireSockets(features)).toThrowError(/smolvm 1\.4\.0 lies between/);
    expect(() => requireSockets({ ...features, version: "1.9.0" })).toThrowError(
      /machine create --label, machine create --mount-socket/,
    );
  });

  it("is asked once for each program", async () => {
    const first = await featuresOf("1.8.1", cacheDir);
    const { program } = await find("1.8.1");
    const silent = { ...exec, run: () => Promise.reject(new Error("it was asked again")) };
    const again = await readFeatures({ argv: [program], env: {}, exec: silent, program, cacheDir });
    expect(again).toEqual(first);
  });

  it.each(["1.32.2", "1.8.1"])("%s keeps all its state where it is told", async (version) => {
    const smolvm = await openSmolvm(version, version === "1.8.1" ? "1" : "2");
    const what = "test";
    const size = ["--cpus", "1", "--mem", "512"];
    const create = ["machine", "create", "--name", "m", "--image", rootfs(), ...size];
    await smolvm.command([...create, "--label", "bot-bottle=x"], { what });
    const text = await smolvm.command(["machine", "status", "--name", "m", "--json"], { what });
    const expected = {
      ...{ name: "m", labels: { "bot-bottle": "x" }, mounts: 0 },
      ...{ cpus: 1, memoryMiB: 512, states: ["created"] },
    };
    expect(findStatusFaults(parseStatus(text), expected)).toEqual([]);
    const state = smolvm.env["HOME"] ?? "";
    expect(existsSync(join(state, ".local/share/smolvm/server/smolvm.db"))).toBe(true);
    await smolvm.command(["machine", "delete", "--name", "m", "--force"], { what });
  });

  it("says of a machine with a port that it has no network, so that ports are looked at too", async () => {
    const smolvm = await openSmolvm("1.32.2", "3");
    const create = ["machine", "create", "--name", "m", "--image", rootfs(), "--port", "1:1"];
    await smolvm.command(create, { what: "test" });
    const argv = ["machine", "status", "--name", "m", "--json"];
    const status = parseStatus(await smolvm.command(argv, { what: "test" }));
    expect(status.network).toBe(false);
    const { cpus, memory_mib: memoryMiB } = status;
    const expected = { name: "m", labels: {}, mounts: 0, cpus, memoryMiB, states: ["created"] };
    expect(findStatusFaults(status, expected)).toEqual(["the number of its ports is 1, not 0"]);
  });

  it("explains a name that is taken", async () => {
    const smolvm = await openSmolvm("1.8.1", "4");
    const create = ["machine", "create", "--name", "m", "--image", rootfs()];
    await smolvm.command(create, { what: "machine not created" });
    await expect(smolvm.command(create, { what: "machine not created" })).rejects.toMatchObject({
      code: "launch.backend",
      message: expect.stringContaining("a machine of this name exists already"),
      hint: "run bot-bottle cleanup",
    });
  });

  it("is made whole from its package once", async () => {
    const found = await find("1.8.1");
    expect(found.packageDir).toBeDefined();
    const told: string[] = [];
    const ports = { exec, searchPath: SEARCH_PATH };
    const context = { ports, cacheDir, onProgress: (detail: string) => void told.push(detail) };
    const whole = await preparePackage(found, context);
    expect(await preparePackage(found, context)).toEqual(whole);
    expect(told).toEqual(["unpacking smolvm, once"]);
    expect(statSync(join(whole.agentRootfs ?? "", "sbin")).isDirectory()).toBe(true);
    chmodSync(whole.program, 0o755);
    const result = await exec.run([whole.program, "--version"], {
      env: { LD_LIBRARY_PATH: whole.libDir ?? "" },
    });
    expect(result.stdout.toString()).toBe("smolvm 1.8.1\n");
    expect(result.stderr.toString()).toBe("");
  });

  it("does not boot where it may not open the device, and that is told apart", async () => {
    const context = {
      ports: { exec, searchPath: SEARCH_PATH },
      cacheDir,
      onProgress: () => undefined,
    };
    const whole = await preparePackage(await find("1.8.1"), context);
    const smolvm = await openSmolvm("1.8.1", "5", whole);
    const create = ["machine", "create", "--name", "m", "--image", rootfs(), "--mem", "64"];
    await smolvm.command(create, { what: "test" });
    const result = await smolvm.run(["machine", "start", "--name", "m"], {
      what: "test",
      timeoutMs: MINUTE_MS,
    });
    await smolvm.run(["machine", "delete", "--name", "m", "--force"], { what: "test" });
    expect(result.exitCode).not.toBe(0);
    expect(explainExit("machine not started", result)).toMatchObject({
      code: "host.backend-unavailable",
    });
  });
});
