/**
 * What smolvm's failures mean. Its exit status says only that something failed, and its messages reach us wrapped in others,
 * so they are recognised by parts that have not changed between versions. Pure.
 */
import { type BottleError, HostError, LaunchError } from "../../base/errors.ts";
import type { RunResult } from "../../process/exec.ts";

/** Longest text of smolvm's that is shown. */
const MAX_SHOWN = 400;
const KVM_HINT =
  "give your user the device: sudo usermod -aG kvm $USER, then log in again; or choose --backend bubblewrap";

interface Meaning {
  readonly pattern: RegExp;
  readonly code: "host.backend-unavailable" | "launch.backend";
  readonly text: string;
  readonly hint: string;
}

const MEANINGS: readonly Meaning[] = [
  {
    pattern: /KVM not available|KvmOpen\(Error\(2\)\)/,
    code: "host.backend-unavailable",
    text: "this machine offers no KVM",
    hint: "load kvm-intel or kvm-amd and check that the firmware allows virtualization; or choose another backend",
  },
  {
    pattern: /Cannot access \/dev\/kvm|KvmOpen\(/,
    code: "host.backend-unavailable",
    text: "/dev/kvm may not be opened",
    hint: KVM_HINT,
  },
  {
    pattern: /krun_start_enter returned: -22/,
    code: "host.backend-unavailable",
    text: "the hypervisor refused the machine",
    hint: "update smolvm; on macOS its program must be signed with the hypervisor entitlement",
  },
  {
    pattern: /agent did not become ready|before the agent was ready/,
    code: "host.backend-unavailable",
    text: "the machine did not boot",
    hint: "run bot-bottle doctor: it tries a small machine; or choose another backend",
  },
  {
    pattern: /connection to VM lost|is not running/,
    code: "launch.backend",
    text: "the machine is gone",
    hint: "start the bottle again, or run bot-bottle doctor",
  },
  {
    pattern: /already exists or is being created|already exists/,
    code: "launch.backend",
    text: "a machine of this name exists already",
    hint: "run bot-bottle cleanup",
  },
  {
    pattern: /cannot read archive|source path on host must be|mount source not found/,
    code: "launch.backend",
    text: "smolvm cannot read what it is given",
    hint: "check that the image and the mounts can be read",
  },
  {
    pattern: /No space left on device|os error 28/,
    code: "launch.backend",
    text: "the disk is full",
    hint: "free some space and start again",
  },
];

/** The error of a command that failed. */
export function explainExit(what: string, result: RunResult): BottleError {
  const stderr = result.stderr.toString("utf8");
  const said = lastWords(stderr) ?? lastWords(result.stdout.toString("utf8")) ?? "it said nothing";
  const status = result.signal ?? `exit status ${result.exitCode}`;
  const meaning = MEANINGS.find(({ pattern }) => pattern.test(stderr));
  const text = meaning === undefined ? "" : `${meaning.text}; `;
  const message = `${what}: ${text}smolvm says "${said}" (${status})`;
  const options = {
    hint: meaning?.hint ?? "run bot-bottle doctor",
    details: { program: "smolvm" },
  };
  return meaning?.code === "host.backend-unavailable"
    ? new HostError(meaning.code, message, options)
    : new LaunchError("launch.backend", message, options);
}

/** What smolvm says last, without the prefix it gives every failure; undefined when it said nothing. */
export function lastWords(text: string): string | undefined {
  const lines = text
    .split("\n")
    .map((line) => line.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, " ").trim())
    .filter((line) => line !== "" && !line.startsWith("note: "));
  const line = lines.findLast((it) => it.startsWith("Error: ")) ?? lines.at(-1);
  if (line === undefined) return undefined;
  const short = line.replace(/^Error: /, "");
  return short.length <= MAX_SHOWN ? short : `${short.slice(0, MAX_SHOWN)}…`;
}
