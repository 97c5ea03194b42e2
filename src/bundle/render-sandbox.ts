/**
 * The bubblewrap command line around a bundle. Pure. Invariant: the network is the host's, but of the host's files the
 * bundle sees the read-only system and can write only its doors, its queue and its audit file.
 */
import type { BundlePlan } from "./contract.ts";

/** Paths as the bundle sees them. */
export const SANDBOX_PATHS = {
  node: "/run/bundle/node",
  entry: "/run/bundle/main.js",
  doors: "/run/bundle/doors",
  queue: "/run/bundle/queue",
  audit: "/run/bundle/audit.jsonl",
} as const;

/** Size of the bundle's /tmp: it keeps nothing there that grows. */
export const SANDBOX_TMP_BYTES: number = 16 * 1024 * 1024;

/** Top-level directories that are links into /usr on most systems. */
export const SYSTEM_DIRECTORIES = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] as const;

/** What resolving names and verifying certificates needs. Never a directory that holds private keys: as root we could read them. */
const ETC_FILES = [
  "/etc/resolv.conf",
  "/etc/hosts",
  "/etc/nsswitch.conf",
  "/etc/gai.conf",
  "/etc/localtime",
  "/etc/ssl/certs",
  "/etc/ssl/cert.pem",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/openssl.cnf",
  "/etc/ca-certificates",
  "/etc/ca-certificates.conf",
  "/etc/pki/ca-trust",
  "/etc/pki/tls/certs",
  "/etc/pki/tls/cert.pem",
  "/etc/pki/tls/openssl.cnf",
] as const;

/**
 * Options of Node. SIGUSR1 must not open the inspector; the heap's young generation is kept small, because an idle proxy
 * is paid for in every bottle.
 */
export const NODE_FLAGS = ["--disable-sigusr1", "--max-semi-space-size=4"] as const;

/** Facts of the machine that the command line depends on. */
export interface SandboxFacts {
  readonly bwrapPath: string;
  /** Program and arguments that set the core limit; none where that cannot be set. */
  readonly coreLimit: readonly string[];
  readonly isRoot: boolean;
  /** Those of {@link SYSTEM_DIRECTORIES} that exist; `target` where it is a link. */
  readonly system: readonly { readonly path: string; readonly target: string | undefined }[];
}

/** Renders argv of bubblewrap, with the bundle's own argv at its end. */
export function renderSandbox(plan: BundlePlan, facts: SandboxFacts): readonly string[] {
  return [
    // The bundle holds every secret: a crash of it must not be dumped.
    ...facts.coreLimit,
    facts.bwrapPath,
    ...namespaces(facts),
    ...systemFiles(facts),
    ...ownFiles(plan),
    ...["--remount-ro", "/", "--chdir", "/", "--clearenv"],
    ...["--setenv", "PATH", "/usr/bin:/bin", "--setenv", "LANG", "C.UTF-8"],
    "--",
    SANDBOX_PATHS.node,
    ...NODE_FLAGS,
    SANDBOX_PATHS.entry,
  ];
}

function namespaces(facts: SandboxFacts): readonly string[] {
  return [
    // An ordinary user needs a user namespace; root must not get one, so that its capabilities are gone for good.
    ...(facts.isRoot ? [] : ["--unshare-user"]),
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    ...["--hostname", "bundle"],
    ...["--cap-drop", "ALL"],
    "--new-session",
    "--die-with-parent",
  ];
}

function systemFiles(facts: SandboxFacts): readonly string[] {
  const links = facts.system.flatMap(({ path, target }) =>
    target === undefined ? ["--ro-bind", path, path] : ["--symlink", target, path],
  );
  return [
    ...["--ro-bind", "/usr", "/usr"],
    ...links,
    ...ETC_FILES.flatMap((path) => ["--ro-bind-try", path, path]),
    ...["--proc", "/proc"],
    // Uid 0 may write kernel settings even without capabilities.
    ...["--ro-bind", "/proc/sys", "/proc/sys"],
    ...["--dev", "/dev"],
    ...["--size", String(SANDBOX_TMP_BYTES), "--tmpfs", "/tmp"],
  ];
}

function ownFiles(plan: BundlePlan): readonly string[] {
  return [
    ...["--ro-bind", plan.nodePath, SANDBOX_PATHS.node],
    ...["--ro-bind", plan.entryPath, SANDBOX_PATHS.entry],
    ...["--bind", plan.doorsDir, SANDBOX_PATHS.doors],
    ...["--bind", plan.queueDir, SANDBOX_PATHS.queue],
    // The operator's answers are never the bundle's to write.
    ...["--ro-bind-try", `${plan.queueDir}/decisions`, `${SANDBOX_PATHS.queue}/decisions`],
    ...["--bind", plan.auditFile, SANDBOX_PATHS.audit],
  ];
}
