// The emulated host in which the real smolvm boots, as tests use it: a private copy of the saved machine, gone when disposed.
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AgentClient, ExecOptions, ExecResult } from "../hosts/agent-client.ts";
import { Emulator } from "../hosts/emulator.ts";
import { HostHungError } from "../hosts/host-hung-error.ts";
import { findDeadRuns, RUN_PREFIX } from "../hosts/leftovers.ts";
import { FOLDER_TAGS } from "../hosts/qemu.ts";
import { machineTraits, type SmolvmVersion } from "../hosts/recipe.ts";
import { SAVED } from "../hosts/template.ts";

export type { ExecOptions, ExecResult } from "../hosts/agent-client.ts";
export { HostHungError } from "../hosts/host-hung-error.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
const RESTORE_MS = 60_000;

export interface MachineHostOptions {
  readonly version?: SmolvmVersion;
}

/** Paths inside of the host. */
export const INSIDE = {
  /** Shared both ways; here it is {@link MachineHost.share}. */
  io: "/io",
  /** This checkout, read-only. */
  checkout: "/checkout",
  /** A guest's root as a folder: Debian with Node, git and a user `node`. */
  image: "/opt/image",
} as const;

/** A restored host. */
export interface MachineHost extends AsyncDisposable {
  /** Runs a program as root (or as `uid`), with smolvm on PATH. */
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /** The program inside, of the version that was asked for. */
  readonly smolvm: string;
  /** The folder that is /io inside. */
  readonly share: string;
  /** Pid of the emulator, and the folder of this run, both gone after disposal. */
  readonly pid: number;
  readonly directory: string;
  /** How long restoring took. */
  readonly restoredMs: number;
}

/** What smolvm and its callers have in their environment in the host. */
export function smolvmEnvironment(version: SmolvmVersion): Readonly<Record<string, string>> {
  const home = `/opt/smolvm/${version}`;
  return {
    PATH: `${home}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin`,
    SMOLVM_LIB_DIR: home,
    SMOLVM_AGENT_ROOTFS: `${home}/agent-rootfs`,
    SMOLVM_IMAGE_SEEDS: "0",
  };
}

/** The folder of the built host; builds it where it is missing. */
function builtHost(): string {
  const build = join(REPOSITORY, "test/hosts/build.ts");
  const built = spawnSync(process.execPath, [build], { stdio: ["ignore", "pipe", "inherit"] });
  if (built.status !== 0) throw new Error("the emulated host could not be built");
  return built.stdout.toString().trim();
}

/** Restores a copy of the saved machine. */
export async function openMachineHost(options: MachineHostOptions = {}): Promise<MachineHost> {
  const { version = "1.32.2" } = options;
  const host = builtHost();
  const from = performance.now();
  // Left by processes that were killed; their emulators died with them.
  for (const dead of findDeadRuns()) rmSync(dead, { recursive: true, force: true });
  const directory = mkdtempSync(join(tmpdir(), `${RUN_PREFIX}${process.pid}-`));
  const share = join(directory, "io");
  mkdirSync(share);
  chmodSync(share, 0o777);
  const release = (): void => rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  try {
    const emulator = await restore(host, directory, share);
    return {
      smolvm: `/opt/smolvm/${version}/smolvm`,
      share,
      directory,
      pid: emulator.pid,
      restoredMs: performance.now() - from,
      exec: (argv, it = {}) =>
        emulator.agent.exec(argv, { ...it, env: { ...smolvmEnvironment(version), ...it.env } }),
      [Symbol.asyncDispose]: async () => {
        await emulator.stop();
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

async function restore(host: string, directory: string, share: string): Promise<Emulator> {
  const disk = join(directory, "disk.qcow2");
  const backing = join(host, SAVED.disk);
  execFileSync("qemu-img", ["create", "-qf", "qcow2", "-F", "qcow2", "-b", backing, disk]);
  const emulation = {
    ...{ host, disk, run: directory, counterKhz: machineTraits().counterKhz },
    memory: { file: join(host, SAVED.memory), isWritten: false },
    folders: { io: share, checkout: REPOSITORY },
  };
  const signal = AbortSignal.timeout(RESTORE_MS);
  const emulator = await Emulator.start(emulation, ["-incoming", "defer"], signal);
  try {
    const { monitor } = emulator;
    const capability = { capability: "x-ignore-shared", state: true };
    await monitor.ask("migrate-set-capabilities", { capabilities: [capability] });
    await monitor.ask("migrate-incoming", { uri: `exec:cat '${join(host, SAVED.state)}'` });
    await monitor.until("query-status", "status", ["paused", "running", "postmigrate"]);
    await monitor.ask("cont");
    await settle(emulator.agent);
    return emulator;
  } catch (error) {
    await emulator.stop();
    if (!signal.aborted) throw error;
    throw new HostHungError(`not restored within ${RESTORE_MS} ms`, { cause: error });
  }
}

/** A restored machine has the hour of its saving, and no shared folders: they cannot be saved while mounted. */
async function settle(agent: AgentClient): Promise<void> {
  const mount = (tag: string, more: string): string =>
    `mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,${more} ${tag} /${tag}`;
  const script = [
    `date -s @${(Date.now() / 1000).toFixed(3)} >/dev/null`,
    mount(FOLDER_TAGS.io, "cache=none"),
    mount(FOLDER_TAGS.checkout, "cache=loose,ro"),
  ].join(" && ");
  const { status, stderr } = await agent.exec(["sh", "-c", script], { timeoutMs: RESTORE_MS });
  if (status !== 0) throw new Error(`the restored host has no shared folders: ${stderr}`);
}
