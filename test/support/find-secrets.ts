// Looks for values where they must not be: in files, in what /proc shows of processes, and in their memory.
import {
  closeSync,
  type Dirent,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
} from "node:fs";
import { join } from "node:path";

/** Each spelling of a value that would still give it away. */
export function spellings(value: string): readonly Buffer[] {
  const texts = [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value)];
  const encoded = [
    Buffer.from(value).toString("base64"),
    Buffer.from(value).toString("base64url"),
    Buffer.from(value).toString("hex"),
  ];
  return [
    ...new Set([...texts, ...encoded.map((text) => text.replace(/=+$/, "").slice(0, -1))]),
  ].map((text) => Buffer.from(text));
}

const holds = (bytes: Buffer, values: readonly string[]): boolean =>
  values.flatMap(spellings).some((spelling) => bytes.includes(spelling));

/** Reads what may vanish or be closed to us meanwhile. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    return void error;
  }
}

/** Files below `root` whose content, name or link target holds a value. */
export function filesWith(root: string, values: readonly string[]): string[] {
  const entries = attempt(() => readdirSync(root, { withFileTypes: true })) ?? [];
  return entries.flatMap((entry: Dirent) => {
    const path = join(root, entry.name);
    if (holds(Buffer.from(entry.name), values)) return [path];
    if (entry.isDirectory()) return filesWith(path, values);
    const bytes = entry.isSymbolicLink()
      ? attempt(() => Buffer.from(readlinkSync(path)))
      : entry.isFile()
        ? attempt(() => readFileSync(path))
        : undefined;
    return bytes !== undefined && holds(bytes, values) ? [path] : [];
  });
}

export const allPids = (): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** Pid namespace of a process; undefined when it is gone or not ours to see. */
export const pidNamespace = (pid: number | "self"): string | undefined =>
  attempt(() => readlinkSync(`/proc/${pid}/ns/pid`));

/** Processes whose command line, environment or thread name holds a value. */
export function processesWith(pids: readonly number[], values: readonly string[]): string[] {
  return pids.flatMap((pid) =>
    ["cmdline", "environ", "comm"].flatMap((file) => {
      const bytes = attempt(() => readFileSync(`/proc/${pid}/${file}`));
      return bytes !== undefined && holds(bytes, values)
        ? [
            `${pid} ${file}: ${attempt(() => readFileSync(`/proc/${pid}/cmdline`, "utf8"))
              ?.replaceAll("\0", " ")
              .slice(0, 200)}`,
          ]
        : [];
    }),
  );
}

/** Whether the writable memory of a process holds a value; undefined when it cannot be read. */
export function isInMemory(pid: number, values: readonly string[]): boolean | undefined {
  const maps = attempt(() => readFileSync(`/proc/${pid}/maps`, "utf8"));
  const fd = attempt(() => openSync(`/proc/${pid}/mem`, "r"));
  if (maps === undefined || fd === undefined) return undefined;
  const needles = values.map((value) => Buffer.from(value));
  try {
    for (const line of maps.split("\n")) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (match === null) continue;
      const [from, to] = [BigInt(`0x${match[1]}`), BigInt(`0x${match[2]}`)];
      if (to - from > 1n << 30n) continue;
      const bytes = Buffer.alloc(Number(to - from));
      const got =
        attempt(() => readSync(fd, bytes, 0, bytes.length, from as unknown as number)) ?? 0;
      const seen = bytes.subarray(0, got);
      if (needles.some((needle) => seen.includes(needle))) return true;
    }
    return false;
  } finally {
    closeSync(fd);
  }
}

/** Processes that have to do with a directory: it is in their command line, environment, mounts, or they stand in it. */
export function processesAround(...directories: readonly string[]): string[] {
  return allPids()
    .filter((pid) => pid !== process.pid)
    .flatMap((pid) => {
      const texts = ["cmdline", "environ", "mountinfo"].map(
        (file) => attempt(() => readFileSync(`/proc/${pid}/${file}`, "utf8")) ?? "",
      );
      texts.push(attempt(() => readlinkSync(`/proc/${pid}/cwd`)) ?? "");
      const isAround = directories.some((directory) =>
        texts.some((text) => text.includes(directory)),
      );
      return isAround ? [`${pid} ${texts[0]?.replaceAll("\0", " ").slice(0, 200)}`] : [];
    });
}
