/**
 * Renders a guest plan to the exact argument lists of bubblewrap. Pure. What the guest's own /proc shows of its first
 * process is the short command line made here: every path of the host travels in the argument file (`--args`).
 */
import type { HostPath } from "../../base/ids.ts";
import type { GuestPlan } from "../contract.ts";
import { findGuarded } from "../shared/guarded-paths.ts";

/** Descriptors that the launch opens for the chain; none of them is open in the guest. */
export const LAUNCH_FDS = { args: 3, seccomp: 4, info: 5, stderr: 6 } as const;
/** User and group that the guest sees itself as. */
export const GUEST_UID = 1000;
/** Where our own programs lie in the guest. */
export const GUEST_TOOLS = "/opt/bot-bottle";
/** Longest host name that the kernel takes, less the closing zero byte. */
export const MAX_HOSTNAME_LENGTH = 63;
/** What was found on this machine that decides arguments. */
export interface HostLayout {
  readonly bwrap: HostPath;
  /** Needed only as root. */
  readonly setpriv: HostPath | undefined;
  /** Path that is the same in the guest; undefined when it is not below /usr. */
  readonly prlimit: HostPath | undefined;
  /** Its arguments that set the core limit; none where that cannot be set. */
  readonly coreLimitArgs: readonly string[];
  /** Our own hard limit on processes, which a guest's cannot exceed; undefined where there is none. */
  readonly hardProcesses: number | undefined;
  /** Top-level directories of programs and libraries: a link such as bin → usr/bin, or a directory of its own. */
  readonly rootEntries: readonly {
    readonly name: string;
    readonly linkTarget: string | undefined;
  }[];
  /** Entries of the host's /etc that programs in /usr depend on and that hold nothing of the operator. */
  readonly etcEntries: readonly string[];
  /** Entries of /proc that tell of the host, or let any user write. */
  readonly maskedProc: readonly { readonly name: string; readonly isDirectory: boolean }[];
  /** Directory that the outer step of root hides behind an empty one; holds none of the programs. */
  readonly stagingDir: HostPath;
  readonly canDisableUserns: boolean;
}

/** All argument lists of one launch. */
export interface RenderedBubblewrap {
  /** The chain up to and including guest-init. */
  readonly argv: readonly string[];
  /** Content of the argument file of the bubblewrap that makes the guest. */
  readonly args: readonly string[];
}

/** Every host path that the guest gets, with the path at which the guest's bubblewrap finds it. */
interface Sources {
  readonly outerArgs: readonly string[];
  readonly pathOf: (source: HostPath) => string;
}

/** Renders both steps. Throws nothing: {@link findMountFaults} has judged the mounts before. */
export function renderBubblewrap(plan: GuestPlan, layout: HostLayout): RenderedBubblewrap {
  const sources = renderSources(plan, layout);
  const args = [
    ...renderIsolation(plan, layout),
    ...renderSystem(plan, layout),
    ...renderFiles(plan, layout, sources.pathOf),
    ...["--remount-ro", "/dev", "--remount-ro", "/"],
    ...["--clearenv", "--cap-drop", "ALL", "--chdir", plan.guestHome],
  ];
  const inner = [
    layout.bwrap,
    ...["--args", String(LAUNCH_FDS.args)],
    ...["--seccomp", String(LAUNCH_FDS.seccomp)],
    ...["--info-fd", String(LAUNCH_FDS.info)],
    "--",
    ...renderFirstProcess(plan, layout),
  ];
  const argv = [...renderRlimits(layout), ...renderDrop(plan, layout, sources.outerArgs), ...inner];
  return { args, argv };
}

/**
 * Kept first: when our process dies while it writes the argument file, what bubblewrap has read already holds the
 * namespaces and ends with us.
 */
function renderIsolation(plan: GuestPlan, layout: HostLayout): readonly string[] {
  return [
    ...["--unshare-all", "--unshare-user", "--die-with-parent"],
    ...(layout.canDisableUserns && !plan.allowsUserNamespaces ? ["--disable-userns"] : []),
    ...(plan.terminal === "separate" ? ["--new-session"] : []),
    ...["--uid", String(GUEST_UID), "--gid", String(GUEST_UID)],
    ...["--hostname", plan.hostname.slice(0, MAX_HOSTNAME_LENGTH)],
  ];
}

function renderSystem(plan: GuestPlan, layout: HostLayout): readonly string[] {
  const size = String(plan.limits.tmpfsBytes);
  const tmpfs = (path: string, mode: string): string[] => [
    "--perms",
    mode,
    "--size",
    size,
    "--tmpfs",
    path,
  ];
  return [
    ...["--ro-bind", "/usr", "/usr"],
    ...layout.rootEntries.flatMap(({ name, linkTarget }) =>
      linkTarget === undefined
        ? ["--ro-bind", `/${name}`, `/${name}`]
        : ["--symlink", linkTarget, `/${name}`],
    ),
    ...["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"],
    ...layout.maskedProc.flatMap((entry) => renderMask(entry)),
    ...["--dev", "/dev", ...tmpfs("/dev/shm", "1777")],
    ...tmpfs("/tmp", "1777"),
    ...tmpfs("/run", "0755"),
    ...["--dir", "/var", "--symlink", "/tmp", "/var/tmp", "--symlink", "/run", "/var/run"],
  ];
}

function renderMask({ name, isDirectory }: HostLayout["maskedProc"][number]): readonly string[] {
  const path = `/proc/${name}`;
  if (!isDirectory) return ["--ro-bind", "/dev/null", path];
  return ["--perms", "0555", "--size", "4096", "--tmpfs", path, "--remount-ro", path];
}

function renderFiles(
  plan: GuestPlan,
  layout: HostLayout,
  pathOf: Sources["pathOf"],
): readonly string[] {
  const { homeDir, guestHome, workspaceDir, guestWorkspace } = plan;
  const hasWorkspace = workspaceDir !== undefined && guestWorkspace !== undefined;
  return [
    ...["--ro-bind", pathOf(plan.etcDir), "/etc"],
    ...layout.etcEntries.flatMap((name) => ["--ro-bind", `/etc/${name}`, `/etc/${name}`]),
    ...["--bind", pathOf(homeDir), guestHome],
    ...(hasWorkspace ? ["--bind", pathOf(workspaceDir), guestWorkspace] : []),
    ...sortedMounts(plan).flatMap(({ hostPath, guestPath }) => [
      "--ro-bind",
      pathOf(hostPath),
      guestPath,
    ]),
    ...["--ro-bind", pathOf(plan.doorsDir), plan.guestDoors],
    ...["--ro-bind", pathOf(plan.nodePath), `${GUEST_TOOLS}/bin/node`],
    ...["--ro-bind", pathOf(plan.guestInitPath), `${GUEST_TOOLS}/guest-init.js`],
  ];
}

/** Outer directories first, so that an inner mount is not hidden. */
function sortedMounts(plan: GuestPlan): GuestPlan["mounts"] {
  return plan.mounts.toSorted((a, b) => (a.guestPath < b.guestPath ? -1 : 1));
}

/**
 * Set before the filter is in force, which answers every later change of the core limit without doing anything. Real-time
 * scheduling, which some desktops give their users, would starve the machine.
 */
function renderRlimits(layout: HostLayout): readonly string[] {
  if (layout.prlimit === undefined) return [];
  return [layout.prlimit, ...layout.coreLimitArgs, "--rtprio=0:0", "--"];
}

/**
 * The shell puts the real stderr in place: until then descriptor 2 is ours, for bubblewrap's own complaints. The limit on
 * processes is set here, because inside the user namespace it counts the guest alone. Node gets no options: one that changes how V8
 * compiles makes Node compile its own modules anew, which costs more than it saves.
 */
function renderFirstProcess(plan: GuestPlan, layout: HostLayout): readonly string[] {
  const isLimited = plan.limits.processes !== undefined && layout.prlimit !== undefined;
  const processes = Math.min(plan.limits.processes ?? Infinity, layout.hardProcesses ?? Infinity);
  return [
    ...["/bin/sh", "-c", `exec "$@" 2>&${LAUNCH_FDS.stderr} ${LAUNCH_FDS.stderr}>&-`, "sh"],
    ...(isLimited ? [layout.prlimit, `--nproc=${processes}:${processes}`, "--"] : []),
    `${GUEST_TOOLS}/bin/node`,
    `${GUEST_TOOLS}/guest-init.js`,
    `${plan.guestDoors}/init.sock`,
  ];
}

/**
 * As root: the outer bubblewrap only makes the sources reachable for the guest's uid, then that uid is taken for good
 * before anything else happens. Kernel uid 0 behind a mapping would still own the host's /proc/sys.
 */
function renderDrop(
  plan: GuestPlan,
  layout: HostLayout,
  outerArgs: readonly string[],
): readonly string[] {
  if (plan.hostUid === undefined) return [];
  return [
    layout.bwrap,
    ...["--die-with-parent", "--dev-bind", "/", "/", "--tmpfs", layout.stagingDir],
    ...[...outerArgs, "--chdir", "/", "--"],
    ...["/bin/sh", "-c", KEEPER_SCRIPT, "sh"],
    ...renderDropPrefix(plan.hostUid, layout.setpriv),
  ];
}

/**
 * The shell stays between the outer bubblewrap and the guest's uid, with all rights of root: a parent's death signal is sent
 * with the parent's rights, and bubblewrap has dropped the right to signal other uids. `exit` keeps the shell from replacing
 * itself.
 */
const KEEPER_SCRIPT = '"$@"; exit $?';

/** The command that takes a uid and gives every right of root up; empty for an ordinary user. */
export function renderDropPrefix(
  hostUid: number | undefined,
  setpriv: HostPath | undefined,
): readonly string[] {
  if (hostUid === undefined || setpriv === undefined) return [];
  const uid = String(hostUid);
  return [
    setpriv,
    ...["--reuid", uid, "--regid", uid, "--clear-groups", "--no-new-privs"],
    ...[
      "--bounding-set=-all",
      "--inh-caps=-all",
      "--ambient-caps=-all",
      "--pdeathsig",
      "KILL",
      "--",
    ],
  ];
}

function renderSources(plan: GuestPlan, layout: HostLayout): Sources {
  if (plan.hostUid === undefined) return { outerArgs: [], pathOf: (source) => source };
  const writable = [plan.homeDir, ...(plan.workspaceDir === undefined ? [] : [plan.workspaceDir])];
  const readable = [plan.etcDir, plan.doorsDir, plan.nodePath, plan.guestInitPath];
  const all = [
    ...new Set([...writable, ...readable, ...plan.mounts.map((mount) => mount.hostPath)]),
  ];
  const staged = new Map(all.map((source, index) => [source, `${layout.stagingDir}/${index}`]));
  return {
    outerArgs: [...staged].flatMap(([source, path]) => [
      writable.includes(source) ? "--bind" : "--ro-bind",
      source,
      path,
    ]),
    pathOf: (source) => staged.get(source) ?? source,
  };
}

/** Mounts of the plan whose guest path cannot be given, each with the reason; empty when all are fine. */
export function findMountFaults(plan: GuestPlan): readonly string[] {
  return findGuarded(plan, {
    whole: ["/proc", "/sys", "/dev", "/etc", GUEST_TOOLS, plan.guestDoors],
    roots: ["/usr", "/tmp", "/run"],
  });
}

/**
 * Ignores the terminal's signals, so that Ctrl-C reaches the agent and not the processes that hold the guest; joins the
 * cgroups before anything forks; passes no variable on.
 */
const LAUNCH_SCRIPT = [
  'trap "" INT QUIT HUP',
  "n=$1",
  "shift",
  'while [ "$n" -gt 0 ]; do echo $$ > "$1/cgroup.procs" || exit 125; shift; n=$((n-1)); done',
  'exec "$@"',
].join("; ");

/** The whole command: the constant shell step, then the chain in an empty environment. */
export function renderLauncher(
  argv: readonly string[],
  options: { readonly cgroups: readonly string[]; readonly prefix: readonly string[] },
): readonly string[] {
  const { cgroups, prefix } = options;
  return [
    "/bin/sh",
    "-c",
    LAUNCH_SCRIPT,
    "sh",
    String(cgroups.length),
    ...cgroups,
    ...prefix,
    "/usr/bin/env",
    "-i",
    ...argv,
  ];
}
