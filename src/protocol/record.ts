/**
 * The record of a bottle, `state/<slug>/metadata.json`: the only thing a reaper, `list` and a later resume know of it. Field
 * names are the earlier system's; ours are added. Read tolerantly (missing keys get defaults), written whole by rename.
 */
import { closeSync, openSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { HostError, ProtocolError, systemCode } from "../base/errors.ts";
import { type BottleId, parseBottleId } from "../base/ids.ts";
import { parseJson } from "../base/json.ts";
import { makeDirectory } from "../base/make-directory.ts";
import { once } from "../base/once.ts";

/** Largest record that is read; ours are about 2 KiB. */
export const MAX_RECORD_BYTES: number = 256 * 1024;
/** Name of the record's file in the state directory. */
export const RECORD_FILE = "metadata.json";

export const recordSchema = once(() => {
  const text = z.catch(z.string(), "");
  const optionalNumber = z.catch(z.nullable(z.int()), null);
  const processRef = z.object({ pid: z.int().check(z.gte(1)), start_time: z.string() });
  const processRefs = z.catch(z.array(processRef), []);

  /** Who launched the bottle. A record of another machine, boot or pid namespace is never reaped by killing. */
  const owner = z.object({
    pid: z.int().check(z.gte(1)),
    start_time: z.string(),
    boot_id: z.string(),
    pid_namespace: z.string(),
  });

  const resources = z.object({
    processes: processRefs,
    cgroups: z.catch(z.array(z.string()), []),
    objects: z.catch(z.record(z.string(), z.array(z.string())), {}),
  });

  return z.object({
    identity: z.string(),
    agent_name: text,
    cwd: text,
    copy_cwd: z.catch(z.boolean(), false),
    started_at: text,
    compose_project: text,
    /** "" means docker, as in the earlier system. */
    backend: text,
    label: text,
    color: text,
    bottle_names: z.catch(z.array(z.string()), []),
    /** `launching` and `running` have an owner; `ended` has none. */
    status: z.catch(z.enum(["launching", "running", "ended"]), "ended"),
    owner: z.catch(z.nullable(owner), null),
    run_dir: text,
    provider: text,
    /** What is left behind if the owner dies. */
    guest: z.catch(resources, { processes: [], cgroups: [], objects: {} }),
    bundle: processRefs,
    /** Engine objects of the bundle, by kind, where it runs in a container. */
    bundle_objects: z.catch(z.record(z.string(), z.array(z.string())), {}),
    /** Exit of the agent's session, once it ended. */
    exit_code: optionalNumber,
    exit_signal: z.catch(z.nullable(z.string()), null),
    ended_at: text,
    /** Why the state was kept, empty when it was not. */
    kept: text,
  });
});
export type BottleRecord = z.infer<ReturnType<typeof recordSchema>>;
export type ProcessRef = BottleRecord["bundle"][number];
export type OwnerRef = NonNullable<BottleRecord["owner"]>;

/** Parses a record's text. Throws {@link ProtocolError} when it is no record at all. */
export function parseRecord(json: string, where: string): BottleRecord {
  let value: unknown;
  try {
    value = parseJson(json);
  } catch (cause) {
    throw new ProtocolError("protocol.record", `record unreadable: ${where} is not JSON`, {
      cause,
    });
  }
  const parsed = recordSchema().safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ProtocolError("protocol.record", `record unreadable: ${where} has no identity`, {
    hint: `move ${where} away, then run bot-bottle cleanup`,
  });
}

/** Reads the record in a state directory; undefined when there is none. Throws {@link ProtocolError}. */
export async function readRecord(stateDir: string): Promise<BottleRecord | undefined> {
  const file = join(stateDir, RECORD_FILE);
  try {
    const bytes = await readFile(file);
    if (bytes.length > MAX_RECORD_BYTES)
      throw new ProtocolError("protocol.record", `record unreadable: ${file} is too large`);
    return parseRecord(bytes.toString("utf8"), file);
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (code === undefined) throw error;
    throw new ProtocolError("protocol.record", `record unreadable: ${file}: ${code}`, {
      cause: error,
    });
  }
}

let writes = 0;

/**
 * Writes the record whole: a temporary file of its own, then rename, so that a kill leaves the old or the new one. Without
 * promises: every resource of a launch waits for its line here, and five turns of the event loop take ten times the writing.
 */
export function writeRecord(stateDir: string, record: BottleRecord): void {
  makeDirectory(stateDir);
  writes += 1;
  const temporary = join(stateDir, `.${RECORD_FILE}.${process.pid}.${writes}`);
  const fd = openSync(temporary, "wx", 0o600);
  try {
    writeFileSync(fd, `${JSON.stringify(record, undefined, 2)}\n`);
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, join(stateDir, RECORD_FILE));
}

/** A state directory found under home; `record` is undefined when it holds none or a broken one. */
export interface FoundRecord {
  readonly name: string;
  readonly id: BottleId | undefined;
  readonly stateDir: string;
  readonly record: BottleRecord | undefined;
}

/** Lists all state directories. A missing home is an empty list. Throws HostError `host.unwritable`. */
export async function listRecords(stateRoot: string): Promise<readonly FoundRecord[]> {
  let names: string[];
  try {
    names = await readdir(stateRoot);
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT") return [];
    if (code === undefined) throw error;
    const message = `cannot read ${stateRoot}: ${code}; a directory of yours is expected`;
    const hint = "check its owner and mode, or set BOT_BOTTLE_HOME to a directory of yours";
    throw new HostError("host.unwritable", message, { cause: error, hint });
  }
  return Promise.all(names.sort().map((name) => findRecord(stateRoot, name)));
}

async function findRecord(stateRoot: string, name: string): Promise<FoundRecord> {
  const stateDir = join(stateRoot, name);
  const id = idOf(name);
  try {
    return { name, id, stateDir, record: await readRecord(stateDir) };
  } catch (error) {
    // Another user's directory is not ours to judge.
    const isForeign = systemCode(error) === "EACCES";
    if (error instanceof ProtocolError || isForeign)
      return { name, id, stateDir, record: undefined };
    throw error;
  }
}

function idOf(name: string): BottleId | undefined {
  try {
    return parseBottleId(name);
  } catch {
    return undefined;
  }
}
