/**
 * The table of all error codes: class, title, and what to do. Pinned by a test; docs/errors.md is generated from it.
 * A code is an interface: never rename one, add a new one instead.
 */

/** The class an error code belongs to; it decides the exit status of commands that run no agent. */
export type ErrorKind =
  | "usage"
  | "manifest"
  | "host"
  | "launch"
  | "denied"
  | "sidecar"
  | "protocol"
  | "timeout"
  | "cancelled"
  | "bug";

/** Exit status per class: the sysexits.h range. A cancelled command exits with 128 + the signal's number instead. */
export const EXIT_STATUS: Readonly<Record<ErrorKind, number>> = {
  usage: 64,
  host: 69,
  bug: 70,
  launch: 71,
  sidecar: 72,
  timeout: 75,
  protocol: 76,
  denied: 77,
  manifest: 78,
  cancelled: 130,
};

/** Exit status of every failure of ours in commands that pass the agent's own status through, as docker and env do. */
export const EXIT_OWN_FAILURE = 125;

interface CodeInfo {
  readonly kind: ErrorKind;
  readonly title: string;
}

const code = <K extends ErrorKind>(kind: K, title: string): { kind: K; title: string } => ({
  kind,
  title,
});

export const ERROR_CODES = {
  "usage.invalid": code("usage", "a flag or argument is wrong"),
  "usage.unknown-command": code("usage", "there is no such command"),
  "usage.prompt-needed": code("usage", "a headless start has nothing to run"),
  "usage.not-a-terminal": code("usage", "an answer is needed and no terminal is attached"),
  "usage.unknown-bottle": code("usage", "no bottle has this name"),
  "usage.ambiguous-bottle": code("usage", "several bottles match this name"),
  "usage.not-running": code("usage", "the bottle is not running"),
  "usage.path": code("usage", "a path given on the command line cannot be used"),

  "manifest.invalid": code("manifest", "a manifest file does not follow the schema"),
  "manifest.unknown-agent": code("manifest", "there is no such agent"),
  "manifest.unknown-bottle": code("manifest", "there is no such bottle file"),
  "manifest.unreadable": code("manifest", "a manifest file cannot be read"),
  "manifest.duplicate": code("manifest", "two files define the same name"),
  "manifest.untrusted": code(
    "manifest",
    "a repository's agent asks for a bottle without being confirmed",
  ),
  "manifest.unsupported": code(
    "manifest",
    "a valid setting is not enforced by this version, so it is refused",
  ),
  "manifest.missing-variable": code("manifest", "a host variable named by the manifest is not set"),
  "manifest.secret-file": code("manifest", "a secret file cannot be used"),

  "host.binary-missing": code("host", "a program that is needed is not installed"),
  "host.userns-forbidden": code("host", "this machine forbids unprivileged user namespaces"),
  "host.no-backend": code("host", "no backend works on this machine"),
  "host.backend-unavailable": code("host", "the chosen backend does not work on this machine"),
  "host.limit-unavailable": code("host", "a limit cannot be held on this machine"),
  "host.disk-full": code("host", "the disk is full"),
  "host.unwritable": code("host", "a directory of ours cannot be written"),
  "host.agent-missing": code("host", "the agent's program is not installed"),
  "host.node-missing": code("host", "no Node that can run guest-init was found"),

  "launch.declined": code("launch", "the operator said no at the preflight"),
  "launch.name-taken": code("launch", "a bottle of this name exists already"),
  "launch.workspace": code("launch", "the workspace cannot be copied"),
  "launch.image": code("launch", "an image could not be built or found"),
  "launch.no-subnet": code("launch", "no subnet is free for the bottle's network"),
  "launch.backend": code("launch", "the backend could not create the guest"),
  "launch.guest-init": code("launch", "the guest's first process did not answer"),
  "launch.door": code("launch", "a door did not answer from inside the guest"),
  "launch.not-isolated": code("launch", "the guest reached something that it must not reach"),
  "launch.provision": code("launch", "the guest could not be prepared"),
  "launch.agent": code("launch", "the agent's program could not be started"),
  "launch.copy": code("launch", "a copy into or out of the guest failed"),
  "launch.audit": code("launch", "the audit log cannot be written"),
  "launch.host-login": code("launch", "the agent's login on this machine cannot be used"),
  "launch.secret-command": code("launch", "a command that prints a secret failed"),

  "policy.denied": code("denied", "policy forbids this"),

  "sidecar.start": code("sidecar", "a daemon of the bundle did not become ready"),
  "sidecar.died": code("sidecar", "the bundle died and was not restarted again"),

  "protocol.frame": code("protocol", "a peer sent a malformed frame"),
  "protocol.message": code("protocol", "a peer sent a malformed message"),
  "protocol.closed": code("protocol", "a peer closed the connection in the middle of an exchange"),
  "protocol.record": code("protocol", "a bottle's record cannot be read"),
  "protocol.audit": code("protocol", "an audit log's chain is broken"),

  "timeout.deadline": code("timeout", "something took longer than its deadline"),

  "cancelled.signal": code("cancelled", "stopped by a signal"),

  "bug.invariant": code("bug", "an invariant of bot-bottle broke; please report it"),
  "process.failed": code("launch", "a helper program failed"),
} as const satisfies Readonly<Record<string, CodeInfo>>;

/** A stable error code, such as `manifest.invalid`. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** The codes that belong to one class. */
export type CodeOf<K extends ErrorKind> = {
  [C in ErrorCode]: (typeof ERROR_CODES)[C]["kind"] extends K ? C : never;
}[ErrorCode];
