/**
 * Makes the Python package's smolvm usable: it ships the guest agent's root packed, and its program takes it unpacked only. Done
 * once for each file of the program, below the cache, where other users of the host cannot write.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";
import { HostError } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";
import { makeDirectory } from "../../base/make-directory.ts";
import { helperEnv } from "../../process/env.ts";
import { requireBinary } from "../../process/find-binary.ts";
import type { BackendPorts } from "../contract.ts";
import { INSTALL_HINT, type SmolvmProgram } from "./program.ts";
import { unpackSparse } from "./unpack-sparse.ts";

const ROOTFS = "agent-rootfs";
const LIBRARY = /^lib[\w.-]+\.so(?:\.[\d.]+)?$/;
const TEMPLATE = /^(?:overlay|storage)-template\.ext4\.zst$/;

/** What preparing needs. */
export interface PackageContext {
  readonly ports: Pick<BackendPorts, "exec" | "searchPath">;
  readonly cacheDir: HostPath;
  readonly onProgress: (detail: string) => void;
}

/** The program with everything beside it that it needs; as it is where it comes complete. */
export async function preparePackage(
  found: SmolvmProgram,
  context: PackageContext,
): Promise<SmolvmProgram> {
  const { packageDir } = found;
  if (packageDir === undefined) return found;
  const { size, mtimeMs } = statSync(found.program);
  const key = createHash("sha256").update(`${found.program}\0${size}\0${mtimeMs}`).digest("hex");
  const ready = join(context.cacheDir, "smolvm", `package-${key.slice(0, 16)}`);
  if (!existsSync(ready)) await makePackage(packageDir, ready, context);
  return {
    program: parseHostPath(join(ready, "smolvm")),
    libDir: parseHostPath(ready),
    agentRootfs: parseHostPath(join(ready, ROOTFS)),
    packageDir: undefined,
  };
}

async function makePackage(
  packageDir: string,
  ready: string,
  { ports, onProgress }: PackageContext,
): Promise<void> {
  onProgress("unpacking smolvm, once");
  makeDirectory(dirname(ready));
  const building = `${ready}.${process.pid}`;
  rmSync(building, { recursive: true, force: true });
  mkdirSync(building, { mode: 0o755 });
  try {
    copyPrograms(packageDir, building);
    await unpackRootfs(packageDir, building, ports);
    for (const name of readdirSync(packageDir).filter((it) => TEMPLATE.test(it)))
      await unpackSparse(join(packageDir, name), join(building, name.replace(/\.zst$/, "")));
    chmodSync(building, 0o755);
    if (!existsSync(ready)) renameSync(building, ready);
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

/** Under its own name: as `smol-vmm` the program prints a note with every command. */
function copyPrograms(from: string, to: string): void {
  for (const name of readdirSync(from)) {
    const isTemplate = TEMPLATE.test(name);
    if (name !== "smol-vmm" && !LIBRARY.test(name) && !isTemplate) continue;
    const target = join(to, name === "smol-vmm" ? "smolvm" : name);
    copyFileSync(join(from, name), target);
    chmodSync(target, isTemplate ? 0o644 : 0o755);
  }
  const firmware = readdirSync(to).find((name) => /^libkrunfw\.so\.\d+$/.test(name));
  if (firmware !== undefined && !existsSync(join(to, "libkrunfw.so")))
    symlinkSync(firmware, join(to, "libkrunfw.so"));
}

async function unpackRootfs(
  from: string,
  to: string,
  { exec, searchPath }: PackageContext["ports"],
): Promise<void> {
  const packed = [`${ROOTFS}.tar.zst`, `${ROOTFS}.tar`].find((name) =>
    existsSync(join(from, name)),
  );
  if (packed === undefined) {
    throw new HostError(
      "host.backend-unavailable",
      `smolvm is not whole: ${from} has no ${ROOTFS}.tar.zst`,
      { hint: INSTALL_HINT },
    );
  }
  const target = join(to, ROOTFS);
  mkdirSync(target, { mode: 0o755 });
  const tar = await requireBinary("tar", searchPath, "install tar");
  await using child = await exec.start(
    [tar, "-x", "-p", "--no-same-owner", "-f", "-", "-C", target],
    { env: helperEnv(searchPath), stdio: ["pipe", "ignore", "pipe"] },
  );
  const source = createReadStream(join(from, packed));
  const { stdin } = child;
  if (stdin === undefined) return;
  if (packed.endsWith(".zst")) await pipeline(source, createZstdDecompress(), stdin);
  else await pipeline(source, stdin);
  const { exitCode } = await child.exited;
  if (exitCode !== 0) {
    throw new HostError(
      "host.backend-unavailable",
      `smolvm cannot be unpacked: tar ended with ${exitCode}: ${child.stderrTail().join(" ")}`,
      { hint: "free some space, or reinstall smolmachines" },
    );
  }
  chmodSync(target, 0o755);
}
