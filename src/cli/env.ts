/** The environment, read once, here. No other file of ours reads it. */
import { homedir } from "node:os";
import { join } from "node:path";
import { systemCode, UsageError } from "../base/errors.ts";
import { type HostPath, parseHostPath } from "../base/ids.ts";
import { HOME_DIRECTORY, type HomePaths, homePaths } from "../base/paths.ts";

/** What the CLI takes from the operator's environment. */
export interface CliEnv {
  readonly home: HomePaths;
  readonly userHome: HostPath;
  readonly cwd: HostPath;
  /** The current directory was removed: `cwd` then names nothing. */
  readonly isCwdGone: boolean;
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
  if (!homedir().startsWith("/")) {
    throw new UsageError(
      "usage.path",
      `HOME "${homedir()}" is relative; an absolute path is expected`,
      {
        hint: "set HOME to your home directory",
      },
    );
  }
  const userHome = parseHostPath(homedir());
  const home = homeOf(all);
  if (!home.startsWith("/")) {
    throw new UsageError(
      "usage.invalid",
      `BOT_BOTTLE_HOME "${home}" is relative; an absolute path is expected`,
      { hint: "set it to an absolute path, or unset it to use ~/.bot-bottle" },
    );
  }
  return {
    home: homePaths(parseHostPath(home)),
    userHome,
    ...readCwd(),
    backend: emptyAsUndefined(all["BOT_BOTTLE_BACKEND"]),
    isDryRun: all["BOT_BOTTLE_DRY_RUN"] === "1",
    debug: (all["BOT_BOTTLE_DEBUG"] ?? "").split(",").filter((part) => part !== ""),
    hasColor: isTerminal && all["NO_COLOR"] === undefined && all["TERM"] !== "dumb",
    all,
  };
}

/** A path that leads nowhere once the current directory was removed. */
const GONE = "/proc/self/cwd";

/** Most commands do not need it, so that it is gone is told by those that do. */
function readCwd(): Pick<CliEnv, "cwd" | "isCwdGone"> {
  try {
    return { cwd: parseHostPath(process.cwd()), isCwdGone: false };
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
    return { cwd: parseHostPath(GONE), isCwdGone: true };
  }
}

/** The error of a command that needs the current directory. */
export function cwdGone(cause?: unknown): UsageError {
  return new UsageError("usage.path", "the current directory is gone", {
    hint: "change to one that exists",
    cause,
  });
}

/** BOT_BOTTLE_HOME as it is given, else the directory in the user's home. */
export function homeOf(all: NodeJS.ProcessEnv): string {
  const given = emptyAsUndefined(all["BOT_BOTTLE_HOME"]);
  return given === undefined ? join(homedir(), HOME_DIRECTORY) : given.replace(/(?<=.)\/+$/, "");
}

function emptyAsUndefined(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
