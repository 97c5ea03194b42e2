/**
 * Finds out whether this machine can run bubblewrap guests, and if not, why and what to do. The full probe is for doctor and
 * for a launch that failed; a launch itself only looks for the programs.
 */
import { access, constants, readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { parseHostPath } from "../../base/ids.ts";
import { findBinary, installHint, requireBinary } from "../../process/find-binary.ts";
import type { BackendPorts, BackendProbe } from "../contract.ts";
import { probeCgroups } from "./cgroup.ts";
import { type BwrapFeatures, probeFeatures } from "./layout.ts";
import { type LimitHost, renderScope, systemdEnv } from "./limits.ts";
import { renderDropPrefix } from "./render.ts";
import { parseSeccompArch } from "./seccomp.ts";

const PROBE_TIMEOUT_MS = 10_000;
const NOBODY = 65534;

/** Why a machine refuses user namespaces, and the command that changes it. */
export interface Refusal {
  readonly reason: string;
  readonly hint: string;
}

/** Settings of the kernel that forbid unprivileged user namespaces. */
export interface UsernsSettings {
  readonly unprivilegedClone: string | undefined;
  readonly maxUserNamespaces: string | undefined;
  readonly apparmorRestricts: string | undefined;
}

/** The setting that forbids user namespaces; undefined when none of the known ones does. Pure. */
export function explainSettings(settings: UsernsSettings): Refusal | undefined {
  if (settings.maxUserNamespaces === "0") {
    return {
      reason: "user namespaces are switched off: user.max_user_namespaces is 0",
      hint: "sudo sysctl -w user.max_user_namespaces=15000",
    };
  }
  if (settings.unprivilegedClone === "0") {
    return {
      reason: "ordinary users may not make user namespaces: kernel.unprivileged_userns_clone is 0",
      hint: "sudo sysctl -w kernel.unprivileged_userns_clone=1",
    };
  }
  if (settings.apparmorRestricts === "1") {
    return {
      reason:
        "AppArmor restricts user namespaces to programs with a profile: kernel.apparmor_restrict_unprivileged_userns is 1",
      hint: "load an AppArmor profile with `userns,` for bwrap, or sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    };
  }
  return undefined;
}

/** Reads the settings of this machine. */
export async function readUsernsSettings(): Promise<UsernsSettings> {
  const [unprivilegedClone, maxUserNamespaces, apparmorRestricts] = await Promise.all(
    [
      "/proc/sys/kernel/unprivileged_userns_clone",
      "/proc/sys/user/max_user_namespaces",
      "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    ].map(readSetting),
  );
  return { unprivilegedClone, maxUserNamespaces, apparmorRestricts };
}

async function readSetting(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch {
    return undefined;
  }
}

/** Runs the smallest guest with every namespace, behind `drop` as root; undefined when it works. */
export async function tryNamespaces(
  bwrap: string,
  ports: BackendPorts,
  drop: readonly string[],
): Promise<Refusal | undefined> {
  const argv = [
    ...[...drop, bwrap],
    ...["--unshare-all", "--unshare-user", "--die-with-parent", "--ro-bind", "/", "/"],
    ...["--proc", "/proc", "--dev", "/dev", "--cap-drop", "ALL", "--", "/bin/sh", "-c", ":"],
  ];
  const { exitCode, stderr } = await ports.exec.run(argv, {
    timeoutMs: PROBE_TIMEOUT_MS,
    env: {},
    cwd: "/",
  });
  if (exitCode === 0) return undefined;
  return explainFailure(stderr.toString("utf8"), await readUsernsSettings());
}

/** Why bubblewrap failed, from the machine's settings first and from its own words second. */
export function explainFailure(stderr: string, settings: UsernsSettings): Refusal {
  const known = explainSettings(settings);
  if (known !== undefined) return known;
  const said = stderr.trim().split("\n").at(-1) ?? "";
  return {
    reason: `bubblewrap cannot make a guest: ${said === "" ? "it said nothing" : said}`,
    hint: "inside a container: allow user namespaces and an unmasked /proc, or run bot-bottle on the host",
  };
}

export interface LimitQuestion {
  readonly hasPrlimit: boolean;
  /** Memory or processors are limited, so systemd is worth asking. */
  readonly needsGroups: boolean;
}

/** What holds limits here. `systemd` is asked only where control groups cannot be made directly. */
export async function probeLimitHost(
  ports: BackendPorts,
  question: LimitQuestion,
): Promise<LimitHost> {
  const { hasPrlimit, needsGroups } = question;
  const cgroups = probeCgroups();
  const isHeld = cgroups.memory !== undefined && cgroups.cpu !== undefined;
  return {
    cgroups,
    hasPrlimit,
    systemd: isHeld || !needsGroups ? undefined : await probeSystemd(ports),
  };
}

/** The user's systemd and what it may control; it counts only when a scope could really be made. */
async function probeSystemd(ports: BackendPorts): Promise<LimitHost["systemd"]> {
  const uid = process.getuid?.() ?? 0;
  const runtimeDir = `/run/user/${uid}`;
  const delegated = `/sys/fs/cgroup/user.slice/user-${uid}.slice/user@${uid}.service/cgroup.controllers`;
  const program = await findBinary("systemd-run", ports.searchPath);
  const controllers = (await readSetting(delegated))?.split(" ") ?? [];
  if (
    program === undefined ||
    !controllers.includes("memory") ||
    !(await canAccess(join(runtimeDir, "systemd/private")))
  ) {
    return undefined;
  }
  const scope = renderScope(program, `bot-bottle-probe-${process.pid}`, ["MemoryMax=67108864"]);
  const { exitCode } = await ports.exec.run([...scope, "/bin/sh", "-c", ":"], {
    timeoutMs: PROBE_TIMEOUT_MS,
    env: systemdEnv(runtimeDir),
  });
  return exitCode === 0 ? { program, controllers, runtimeDir } : undefined;
}

async function canAccess(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Looks at the machine for doctor; changes nothing. */
export async function probeBubblewrap(ports: BackendPorts): Promise<BackendProbe> {
  if (process.platform !== "linux")
    return unavailable(
      `bubblewrap needs Linux, this is ${process.platform}`,
      "use the docker backend",
    );
  if (parseSeccompArch(process.arch) === undefined) {
    return unavailable(
      `there is no system-call filter for ${process.arch}`,
      "use an x64 or arm64 machine",
    );
  }
  const bwrap = await findBinary("bwrap", ports.searchPath);
  if (bwrap === undefined)
    return unavailable("bwrap is not on PATH", installHint("bwrap") ?? "install bubblewrap");
  try {
    return await probeInstalled(bwrap, ports);
  } catch (error) {
    return unavailable(`bubblewrap cannot be asked: ${messageOf(error)}`, "reinstall bubblewrap");
  }
}

async function probeInstalled(bwrap: string, ports: BackendPorts): Promise<BackendProbe> {
  const [features, version, prlimit] = await Promise.all([
    probeFeatures(bwrap, ports),
    ports.exec.run([bwrap, "--version"], { timeoutMs: PROBE_TIMEOUT_MS, env: {} }),
    findBinary("prlimit", "/usr/bin:/bin"),
  ]);
  const text = version.stdout.toString("utf8").trim();
  const known = /(\d+\.\d+(?:\.\d+)?)/.exec(text)?.[1];
  if (features.missing.length > 0) {
    return {
      ...unavailable(
        `bubblewrap ${known ?? text} has no ${features.missing.join(", ")}`,
        "install bubblewrap 0.6 or later",
      ),
      version: known,
    };
  }
  const refusal = await tryNamespaces(bwrap, ports, await probeDrop(ports));
  const limits = await probeLimitHost(ports, {
    hasPrlimit: prlimit !== undefined,
    needsGroups: true,
  });
  return {
    name: "bubblewrap",
    isAvailable: refusal === undefined,
    version: known,
    reason: refusal?.reason,
    hint: refusal?.hint,
    capabilities: describeCapabilities(bwrap, features, limits, refusal),
  };
}

/** Any other uid shows what a guest's uid may do. */
async function probeDrop(ports: BackendPorts): Promise<readonly string[]> {
  if (process.getuid?.() !== 0) return [];
  const setpriv = await requireBinary("setpriv", ports.searchPath);
  return renderDropPrefix(NOBODY, parseHostPath(setpriv));
}

function describeCapabilities(
  bwrap: string,
  features: BwrapFeatures,
  limits: LimitHost,
  refusal: Refusal | undefined,
): Readonly<Record<string, string>> {
  const { memory, cpu, pids } = limits.cgroups;
  const scope = (controller: string): string | undefined =>
    limits.systemd?.controllers.includes(controller) === true ? "systemd scope" : undefined;
  const group = (parent: typeof memory): string | undefined =>
    parent === undefined ? undefined : `cgroup v${parent.version}`;
  const processes = [
    ...(limits.hasPrlimit ? ["rlimit"] : []),
    ...(pids === undefined ? [] : [`cgroup v${pids.version}`]),
  ];
  return {
    program: bwrap,
    "user namespaces": refusal === undefined ? "work" : refusal.reason,
    "nested user namespaces": features.canDisableUserns
      ? "refused by the kernel and the filter"
      : "refused by the filter",
    "system-call filter": process.arch,
    "memory limit": group(memory) ?? scope("memory") ?? "watched",
    "processes limit": processes.length === 0 ? "none" : processes.join(", "),
    "cpus limit": group(cpu) ?? scope("cpu") ?? "none",
  };
}

function unavailable(reason: string, hint: string): BackendProbe {
  return {
    name: "bubblewrap",
    isAvailable: false,
    version: undefined,
    reason,
    hint,
    capabilities: {},
  };
}
