/**
 * A backend without isolation, for tests of everything above backends: programs run as ordinary children in the bottle's
 * home directory, doors lead straight to their sockets, the outside is unreachable by decree. Passes the same contract
 * suite as the real ones, escape probes by programs excepted. Never chosen by default and in no registry of the CLI.
 */
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type {
  ArchiveItem,
  Backend,
  BackendProbe,
  Guest,
  GuestPlan,
  GuestResources,
  LaunchContext,
  ProbeTarget,
  Session,
  SessionOptions,
} from "../backends/contract.ts";
import { readHostTree, writeHostTree } from "../backends/shared/archive.ts";
import { BottleError, HostError, LaunchError, messageOf } from "../base/errors.ts";
import { type GuestPath, type HostPath, parseHostPath } from "../base/ids.ts";
import type { Child, ExitStatus, StdioEntry } from "../process/exec.ts";
import { killIfSame, readStartTime } from "../process/identity.ts";

export interface FakeBackendOptions {
  /** Makes the launch fail at this point. */
  readonly failAt?: "start" | "isolation";
  /** What probes of the outside answer; default `unreachable`. */
  readonly outside?: string;
}

/** Makes a fake backend. */
export function createFakeBackend(options: FakeBackendOptions = {}): Backend {
  return {
    name: "fake",
    probe: () => Promise.resolve(FAKE_PROBE),
    launch: (plan, context) => launchFake(plan, context, options),
    reap: async (resources) => {
      for (const ref of resources.processes) killIfSame(ref, "SIGKILL");
    },
  };
}

const FAKE_PROBE: BackendProbe = {
  name: "fake",
  isAvailable: true,
  version: "1",
  reason: undefined,
  hint: undefined,
  capabilities: { isolation: "none" },
};

async function launchFake(
  plan: GuestPlan,
  context: LaunchContext,
  options: FakeBackendOptions,
): Promise<Guest> {
  if (options.failAt === "start")
    throw new LaunchError("launch.backend", "the fake guest was told not to start");
  // A real process stands for the guest, so that reaping and counting have something to find.
  const anchor = await context.ports.exec.start(["/bin/sh", "-c", "read _"], {
    stdio: ["pipe", "ignore", "ignore"],
    name: "fake-guest",
  });
  const startTime = readStartTime(anchor.pid);
  if (startTime === undefined)
    throw new HostError("host.backend-unavailable", "the fake guest's process is gone");
  const resources: GuestResources = {
    processes: [{ pid: anchor.pid, startTime }],
    cgroups: [],
    objects: {},
  };
  await context.onResources(resources);
  return new FakeGuest({ plan, context, options, anchor, resources });
}

interface FakeParts {
  readonly plan: GuestPlan;
  readonly context: LaunchContext;
  readonly options: FakeBackendOptions;
  readonly anchor: Child;
  readonly resources: GuestResources;
}

class FakeGuest implements Guest {
  readonly exited: Promise<ExitStatus>;
  readonly resources: GuestResources;
  readonly limits = { memory: "none", processes: "none", cpus: "none" };
  readonly #parts: FakeParts;
  readonly #children = new Set<Child>();

  constructor(parts: FakeParts) {
    this.#parts = parts;
    this.resources = parts.resources;
    this.exited = parts.anchor.exited;
  }

  async session(options: SessionOptions): Promise<Session> {
    const { context } = this.#parts;
    const env = this.#map({ ...context.guestEnv, ...options.env });
    const [command = "", ...rest] = options.argv.map((part) => this.#hostText(part));
    const child = await this.#start([command, ...rest], {
      cwd: this.#hostPath(options.cwd),
      env,
      stdio: this.#stdio(options.stdio),
    });
    this.#children.add(child);
    void child.exited.then(() => this.#children.delete(child));
    return {
      pid: child.pid,
      stdin: child.stdin,
      stdout: child.stdout,
      stderr: child.stderr,
      exited: child.exited,
      kill: (signal) => void child.kill(signal),
    };
  }

  async copyIn(
    root: GuestPath,
    items: AsyncIterable<ArchiveItem> | Iterable<ArchiveItem>,
  ): Promise<number> {
    return writeHostTree(this.#hostPath(root), items);
  }

  async *copyOut(root: GuestPath): AsyncGenerator<ArchiveItem> {
    try {
      yield* readHostTree(this.#hostPath(root));
    } catch (cause) {
      throw new LaunchError(
        "launch.copy",
        `copy of ${root} from the guest failed: ${messageOf(cause)}`,
        { cause, details: cause instanceof BottleError ? cause.details : {} },
      );
    }
  }

  probe(target: ProbeTarget): Promise<string> {
    if (target.type === "interfaces") return Promise.resolve("lo");
    if (target.type !== "door")
      return Promise.resolve(this.#parts.options.outside ?? "unreachable");
    const door = this.#parts.plan.doors.find((known) => known.port === target.port);
    return door === undefined
      ? Promise.resolve("refused")
      : knock(join(this.#parts.plan.doorsDir, `${door.name}.sock`));
  }

  inspectIsolation(): Promise<readonly string[]> {
    return Promise.resolve(
      this.#parts.options.failAt === "isolation" ? ["the fake guest was told to be open"] : [],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#children].map((child) => child.terminate(500)));
    await this.#parts.anchor.terminate(500);
  }

  async #start(
    argv: readonly string[],
    options: { cwd: string; env: Record<string, string>; stdio: StdioEntry[] },
  ): Promise<Child> {
    try {
      return await this.#parts.context.ports.exec.start(argv, {
        ...options,
        graceMs: 500,
        name: "fake",
      });
    } catch (cause) {
      const code = existsSync(argv[0] ?? "") ? "EACCES" : "ENOENT";
      throw new LaunchError("launch.agent", `cannot run "${argv[0]}": ${code}`, {
        cause,
        details: { code },
      });
    }
  }

  #stdio(kind: SessionOptions["stdio"]): StdioEntry[] {
    if (kind === "pipe") return ["pipe", "pipe", "pipe"];
    return kind === "null" ? ["ignore", "ignore", "ignore"] : [...this.#parts.context.stdio];
  }

  #hostPath(path: string): HostPath {
    const { plan } = this.#parts;
    if (
      plan.workspaceDir !== undefined &&
      plan.guestWorkspace !== undefined &&
      path.startsWith(plan.guestWorkspace)
    ) {
      return parseHostPath(plan.workspaceDir + path.slice(plan.guestWorkspace.length));
    }
    return parseHostPath(
      path.startsWith(plan.guestHome) ? plan.homeDir + path.slice(plan.guestHome.length) : path,
    );
  }

  /** Guest paths inside arguments become host paths, so that `sh -c 'cat /home/node/x'` finds its file. */
  #hostText(text: string): string {
    const { plan } = this.#parts;
    const { guestWorkspace, workspaceDir } = plan;
    const mapped =
      guestWorkspace === undefined || workspaceDir === undefined
        ? text
        : text.replaceAll(guestWorkspace, workspaceDir);
    return mapped.replaceAll(plan.guestHome, plan.homeDir);
  }

  #map(env: Readonly<Record<string, string>>): Record<string, string> {
    return Object.fromEntries(
      Object.entries(env).map(([name, value]) => [
        name,
        name === "PATH" ? value : this.#hostText(value),
      ]),
    );
  }
}

function knock(socket: string): Promise<string> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once("connect", () => {
      connection.destroy();
      resolve("connected");
    });
    connection.once("error", () => resolve("refused"));
  });
}
