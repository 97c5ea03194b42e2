/** Where everything lies under the home of bot-bottle. One place invents these paths. */
import { join } from "node:path";
import { type BottleId, type HostPath, parseHostPath } from "./ids.ts";

/** Directory below $HOME when BOT_BOTTLE_HOME is not set. */
export const HOME_DIRECTORY = ".bot-bottle";

const under = (base: HostPath, ...parts: string[]): HostPath => parseHostPath(join(base, ...parts));

/** Directories of the operator's home of bot-bottle (`BOT_BOTTLE_HOME`, else `~/.bot-bottle`). */
export interface HomePaths {
  readonly home: HostPath;
  readonly bottles: HostPath;
  readonly agents: HostPath;
  readonly state: HostPath;
  readonly run: HostPath;
  readonly queue: HostPath;
  readonly audit: HostPath;
  readonly cache: HostPath;
}

export function homePaths(home: HostPath): HomePaths {
  return {
    home,
    bottles: under(home, "bottles"),
    agents: under(home, "agents"),
    state: under(home, "state"),
    run: under(home, "run"),
    queue: under(home, "queue"),
    audit: under(home, "audit"),
    cache: under(home, "cache"),
  };
}

/** Files and directories of one bottle. `run` is given: it may lie outside home when the path would be too long. */
export interface BottlePaths {
  readonly state: HostPath;
  readonly metadata: HostPath;
  /** Guest's home and workspace, kept on the host. */
  readonly guestHome: HostPath;
  readonly workspace: HostPath;
  /** Files that make up the guest's /etc. */
  readonly guestEtc: HostPath;
  readonly agent: HostPath;
  readonly promptFile: HostPath;
  readonly logs: HostPath;
  readonly preserve: HostPath;
  readonly queue: HostPath;
  readonly audit: HostPath;
  readonly run: HostPath;
  readonly doors: HostPath;
  readonly control: HostPath;
}

export function bottlePaths(home: HomePaths, id: BottleId, run: HostPath): BottlePaths {
  const state = under(home.state, id);
  return {
    state,
    metadata: under(state, "metadata.json"),
    guestHome: under(state, "home"),
    workspace: under(state, "workspace"),
    guestEtc: under(state, "etc"),
    agent: under(state, "agent"),
    promptFile: under(state, "agent", "prompt.txt"),
    logs: under(state, "logs"),
    preserve: under(state, ".preserve"),
    queue: under(home.queue, id),
    audit: under(home.audit, `${id}.jsonl`),
    run,
    doors: under(run, "doors"),
    control: under(run, "control.sock"),
  };
}
