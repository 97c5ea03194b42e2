/** The environment, read once, here. No other file of ours reads it. */
import { homedir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../base/errors.ts";
import { type HostPath, parseHostPath } from "../base/ids.ts";
import { HOME_DIRECTORY, type HomePaths, homePaths } from "../base/paths.ts";

/** What the CLI takes from the operator's environment. */
export interface CliEnv {
  readonly home: HomePaths;
  readonly userHome: HostPath;
  readonly cwd: HostPath;
  readonly backend: string | undefined;
  readonly isDryRun: boolean;
  /** Parts whose logs are mirrored to stderr; `1` means all. */
  readonly debug: readonly string[];
  readonly hasColor: boolean;
  /** The whole environment, for secrets named by a manifest and for finding programs. Never handed to a child. */
  readonly all: Readonly<Record<string, string | undefined>>;
}

/** Reads the environment. Throws UsageError when BOT_BOTTLE_HOME is not an absolute path. */
export function readEnv(all: NodeJS.ProcessEnv, isTerminal: boolean): CliEnv {
  const userHome = parseHostPath(homedir());
  const home = homeOf(all);
  if (!home.startsWith("/")) {
    throw new UsageError(
      "usage.invalid",
      `BOT_BOTTLE_HOME "${home}" is relative; an absolute path is expected`,
    );
  }
  return {
    home: homePaths(parseHostPath(home)),
    userHome,
    cwd: parseHostPath(process.cwd()),
    backend: emptyAsUndefined(all["BOT_BOTTLE_BACKEND"]),
    isDryRun: all["BOT_BOTTLE_DRY_RUN"] === "1",
    debug: (all["BOT_BOTTLE_DEBUG"] ?? "").split(",").filter((part) => part !== ""),
    hasColor: isTerminal && all["NO_COLOR"] === undefined && all["TERM"] !== "dumb",
    all,
  };
}

/** BOT_BOTTLE_HOME as it is given, else the directory in the user's home. */
export function homeOf(all: NodeJS.ProcessEnv): string {
  const given = emptyAsUndefined(all["BOT_BOTTLE_HOME"]);
  return given === undefined ? join(homedir(), HOME_DIRECTORY) : given.replace(/(?<=.)\/+$/, "");
}

function emptyAsUndefined(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
