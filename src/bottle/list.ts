/** The bottles that exist, from their records: running ones and kept ones. */
import type { HomePaths } from "../base/paths.ts";
import { ownerState, readOwner } from "../process/identity.ts";
import { type BottleRecord, type FoundRecord, listRecords } from "../protocol/record.ts";

/** One bottle as `list active` shows it. */
export interface ListedBottle {
  readonly slug: string;
  readonly agentName: string;
  readonly backend: string;
  readonly label: string;
  readonly color: string;
  readonly bottleNames: readonly string[];
  readonly startedAt: string;
  /** `running`, `launching`, `kept`, `dead` (its owner was killed; cleanup removes it), `elsewhere` (not ours to judge). */
  readonly status: "running" | "launching" | "kept" | "dead" | "elsewhere";
  /** Daemons that serve it, sorted. */
  readonly services: readonly string[];
  readonly cwd: string;
  readonly exitCode: number | undefined;
  readonly kept: string | undefined;
}

/** Lists bottles, oldest first. */
export async function listBottles(home: HomePaths): Promise<readonly ListedBottle[]> {
  const self = readOwner();
  const found = await listRecords(home.state);
  return found
    .flatMap((item) =>
      item.record === undefined || item.id === undefined ? [] : [describe(item, item.record, self)],
    )
    .sort((a, b) => a.startedAt.localeCompare(b.startedAt));
}

function describe(
  found: FoundRecord,
  record: BottleRecord,
  self: ReturnType<typeof readOwner>,
): ListedBottle {
  const status = statusOf(record, self);
  return {
    slug: found.name,
    agentName: record.agent_name === "" ? "?" : record.agent_name,
    backend: record.backend === "" ? "docker" : record.backend,
    label: record.label,
    color: record.color,
    bottleNames: record.bottle_names,
    startedAt: record.started_at,
    status,
    services: status === "running" ? ["egress"] : [],
    cwd: record.cwd,
    exitCode: record.exit_code ?? undefined,
    kept: record.kept === "" ? undefined : record.kept,
  };
}

function statusOf(
  record: BottleRecord,
  self: ReturnType<typeof readOwner>,
): ListedBottle["status"] {
  const owner = ownerState(record.owner, self);
  if (owner === "elsewhere") return "elsewhere";
  if (owner === "alive") return record.status === "launching" ? "launching" : "running";
  return record.status === "ended" && record.kept !== "" ? "kept" : "dead";
}
