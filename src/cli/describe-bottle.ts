/** A bottle as `info` shows it: its record, where its files lie, and what only its owner knows. */
import { join } from "node:path";
import { BottleError, UsageError } from "../base/errors.ts";
import { parseBottleId } from "../base/ids.ts";
import { bottlePaths } from "../base/paths.ts";
import { connectBottle, type HomePaths, type ListedBottle, listBottles } from "../index.ts";
import { type BottleRecord, readRecord } from "../protocol/record.ts";
import { bringBackCommand } from "./bring-back.ts";
import { cleanLine } from "./clean-text.ts";
import type { Palette } from "./output.ts";
import { requireFound } from "./slugs.ts";
import { readLastWarning } from "./warnings.ts";

/** What the owner answered; null when the bottle does not run, or its owner does not answer. */
interface Live {
  /** Which mechanism holds which limit. */
  readonly limits: Readonly<Record<string, string>>;
  /** How often the bundle died and was started again. */
  readonly restarts: number;
  readonly bundle_pid: number;
}

/** `info <slug> --json`. */
export interface BottleInfo {
  readonly kind: "bottle";
  readonly slug: string;
  readonly status: ListedBottle["status"];
  readonly agent_name: string;
  readonly bottle_names: readonly string[];
  readonly provider: string;
  readonly backend: string;
  readonly label: string;
  readonly color: string;
  readonly services: readonly string[];
  readonly cwd: string;
  readonly copy_cwd: boolean;
  readonly started_at: string;
  readonly ended_at: string;
  readonly exit_code: number | null;
  readonly exit_signal: string | null;
  /** Why the work was kept, empty when it was not. */
  readonly kept: string;
  readonly owner_pid: number | null;
  readonly paths: Readonly<
    Record<"state" | "home" | "workspace" | "logs" | "audit" | "run", string>
  >;
  readonly live: Live | null;
  /** What a running bottle last needed the operator for, while that stands. */
  readonly warning: string | null;
  /** The commands that go on from here. */
  readonly next: readonly string[];
}

/** Describes a bottle. Throws UsageError when it is gone. */
export async function describeBottleInfo(home: HomePaths, slug: string): Promise<BottleInfo> {
  const listed = requireFound(slug, await listBottles(home));
  const record = await readRecord(join(home.state, slug));
  if (record === undefined) {
    throw new UsageError("usage.unknown-bottle", `bottle ${slug} has just ended`, {
      hint: `bot-bottle audit show ${slug}`,
    });
  }
  const paths = pathsOf(home, slug, record);
  const isRunning = listed.status === "running";
  return {
    kind: "bottle",
    slug,
    status: listed.status,
    agent_name: listed.agentName,
    bottle_names: listed.bottleNames,
    provider: record.provider,
    backend: listed.backend,
    label: listed.label,
    color: listed.color,
    services: listed.services,
    cwd: listed.cwd,
    copy_cwd: record.copy_cwd,
    started_at: listed.startedAt,
    ended_at: record.ended_at,
    exit_code: record.exit_code,
    exit_signal: record.exit_signal,
    kept: record.kept,
    owner_pid: record.owner?.pid ?? null,
    paths,
    live: isRunning ? await askOwner(home, slug) : null,
    warning: (isRunning ? readLastWarning(paths.logs) : undefined) ?? null,
    next: nextCommands(listed, record),
  };
}

function pathsOf(home: HomePaths, slug: string, record: BottleRecord): BottleInfo["paths"] {
  const paths = bottlePaths(home, parseBottleId(slug), home.run);
  return {
    state: paths.state,
    home: paths.guestHome,
    workspace: record.copy_cwd ? paths.workspace : "",
    logs: paths.logs,
    audit: paths.audit,
    run: record.run_dir,
  };
}

/** An owner that is just ending, or hangs, must not keep the rest from being shown. */
async function askOwner(home: HomePaths, slug: string): Promise<Live | null> {
  try {
    await using connection = await connectBottle(home, parseBottleId(slug));
    const { limits, restarts, bundlePid } = await connection.status();
    return { limits, restarts, bundle_pid: bundlePid };
  } catch (error) {
    if (error instanceof BottleError) return null;
    throw error;
  }
}

function nextCommands({ slug, status }: ListedBottle, record: BottleRecord): string[] {
  const bringBack = bringBackCommand(slug, record.copy_cwd);
  if (status === "running") {
    return [bringBack, `bot-bottle exec ${slug} -- sh`, `bot-bottle stop ${slug}`];
  }
  if (status === "kept") return [bringBack, `bot-bottle cleanup ${slug}`];
  return status === "dead" ? [bringBack, "bot-bottle cleanup"] : [];
}

/** The same for people. */
export function renderBottle(info: BottleInfo, color: Palette): string {
  const row = (name: string, text: string): string =>
    `  ${color.dim(name.padEnd(11))}${cleanLine(text)}`;
  const end = info.exit_signal ?? info.exit_code;
  return [
    `${color.bold(info.slug)}: ${info.status}`,
    row("agent", `${info.agent_name} (${info.provider}) in ${info.bottle_names.join(" + ")}`),
    row("backend", info.backend),
    ...(info.warning === null ? [] : [row("warning", info.warning)]),
    row("started", info.started_at),
    ...(end === null ? [] : [row("ended", `${info.ended_at} with ${end}`.trim())]),
    ...(info.kept === "" ? [] : [row("work kept", info.kept)]),
    ...(info.copy_cwd ? [row("copy of", info.cwd)] : []),
    ...liveRows(info, row),
    ...Object.entries(info.paths).flatMap(([name, path]) => (path === "" ? [] : [row(name, path)])),
    ...info.next.map((command, index) => row(index === 0 ? "next" : "", command)),
  ].join("\n");
}

function liveRows(
  { live, owner_pid }: BottleInfo,
  row: (name: string, text: string) => string,
): string[] {
  if (live === null) return [];
  const limits = Object.entries(live.limits).map(([limit, mechanism]) => `${limit}: ${mechanism}`);
  return [
    row("processes", `owner ${owner_pid}, bundle ${live.bundle_pid}, restarts ${live.restarts}`),
    row("limits by", limits.join(", ")),
  ];
}
