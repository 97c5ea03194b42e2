/**
 * Who uses which of the kept copies: files beside them that name a copy and a process. Invariant: a copy that a living process has
 * taken is never dropped, and what dead ones noted is swept by whoever drops next.
 */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { makeDirectory } from "../base/make-directory.ts";
import { type Owner, ownerState, readOwner } from "../process/identity.ts";

/** Directory of the notes, beside the copies. */
export const LEASES = ".leases";
const SEPARATOR = "~";
/** Between two looks at a copy that somebody else is dropping. */
const STEP_MS = 20;

/** `use`: the process has taken the copy; `drop`: it looks whether nobody has, and then removes it. */
type Intent = "use" | "drop";

/** Notes on the copies of one directory. Each writes its own intent first and looks for the other after: one of the two sees it. */
export class Leases {
  readonly #directory: string;
  readonly #clock: Pick<Clock, "sleep">;

  constructor(copies: string, clock: Pick<Clock, "sleep">) {
    this.#directory = join(copies, LEASES);
    this.#clock = clock;
  }

  /** Takes a copy, there or not, for as long as this process lives. */
  async take(name: string, signal: AbortSignal | undefined): Promise<void> {
    makeDirectory(this.#directory);
    writeFileSync(this.#note("use", name), "", { mode: 0o600 });
    while (this.#isNoted("drop", name)) await this.#clock.sleep(STEP_MS, signal);
  }

  /** Removes a copy that nobody has taken. */
  async drop(name: string, remove: () => Promise<void>): Promise<void> {
    const note = this.#note("drop", name);
    makeDirectory(this.#directory);
    writeFileSync(note, "", { mode: 0o600 });
    try {
      if (!this.#isNoted("use", name)) await remove();
    } finally {
      rmSync(note, { force: true });
    }
  }

  #note(intent: Intent, name: string): string {
    const { pid, start_time, boot_id, pid_namespace } = readOwner();
    const parts = [intent, name, pid, start_time, boot_id, pid_namespace];
    return join(this.#directory, parts.join(SEPARATOR));
  }

  /** Of a process that is of another pid namespace nothing is known: it counts as living. */
  #isNoted(wanted: Intent, wantedName: string): boolean {
    const self = readOwner();
    let isNoted = false;
    for (const file of readdirSync(this.#directory)) {
      const [intent, name, ...owner] = file.split(SEPARATOR);
      if (ownerState(parseOwner(owner), self) === "dead")
        rmSync(join(this.#directory, file), { force: true });
      else isNoted ||= intent === wanted && name === wantedName;
    }
    return isNoted;
  }
}

function parseOwner([pid, start_time, boot_id, pid_namespace]: readonly string[]): Owner | null {
  if (start_time === undefined || boot_id === undefined || pid_namespace === undefined) return null;
  return { pid: Number(pid), start_time, boot_id, pid_namespace };
}
