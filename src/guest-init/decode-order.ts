/**
 * Reads the owner's orders. By hand, and only as deep as the types need: the owner is trusted, has parsed what it sends, and a
 * schema library would cost a quarter of our start-up.
 */
import type { GuestOrder } from "../protocol/guest.ts";

type OrderOf<K extends GuestOrder["kind"]> = Extract<GuestOrder, { kind: K }>;
type Fields = ReadonlyMap<string, unknown>;

const VERSION: OrderOf<"hello">["version"] = 1;
const STDIO: readonly OrderOf<"exec">["stdio"][] = ["inherit", "pipe", "null"];

/** One order; undefined when it is none. */
export function decodeOrder(value: unknown): GuestOrder | undefined {
  const fields = fieldsOf(value);
  switch (fields?.get("kind")) {
    case "hello":
      return decodeHello(fields);
    case "exec":
      return decodeExec(fields);
    case "signal":
      return withText(fields, "signal", (signal) => ({ kind: "signal", signal }));
    case "copy-in":
      return withText(fields, "root", (root) => ({ kind: "copy-in", root }));
    case "copy-out":
      return withText(fields, "root", (root) => ({ kind: "copy-out", root }));
    case "cancel":
      return { kind: "cancel" };
    case "shutdown":
      return { kind: "shutdown" };
    case "probe":
      return decodeProbe(fields);
    default:
      return undefined;
  }
}

function decodeHello(fields: Fields): OrderOf<"hello"> | undefined {
  const env = textRecord(fields.get("env"));
  const relays = listOf(fields.get("relays"), decodeRelay);
  const home = fields.get("home");
  if (
    fields.get("version") !== VERSION ||
    env === undefined ||
    relays === undefined ||
    typeof home !== "string"
  )
    return undefined;
  return { kind: "hello", version: VERSION, relays, env, home };
}

function decodeRelay(value: unknown): OrderOf<"hello">["relays"][number] | undefined {
  const fields = fieldsOf(value);
  const port = fields?.get("port");
  const socket = fields?.get("socket");
  return typeof port === "number" && typeof socket === "string" ? { port, socket } : undefined;
}

function decodeExec(fields: Fields): OrderOf<"exec"> | undefined {
  const argv = listOf(fields.get("argv"), (it) => (typeof it === "string" ? it : undefined));
  const env = textRecord(fields.get("env"));
  const cwd = fields.get("cwd");
  const stdio = STDIO.find((it) => it === fields.get("stdio"));
  if (argv === undefined || env === undefined || typeof cwd !== "string" || stdio === undefined)
    return undefined;
  return { kind: "exec", argv, env, cwd, stdio };
}

function decodeProbe(fields: Fields): OrderOf<"probe"> | undefined {
  const target = fieldsOf(fields.get("target"));
  const type = target?.get("type");
  if (type === "interfaces") return { kind: "probe", target: { type } };
  const host = textOf(target?.get("host"));
  const port = numberOf(target?.get("port"));
  const timeoutMs = numberOf(target?.get("timeoutMs"));
  const decoded = target === undefined ? undefined : targetOf({ type, host, port, timeoutMs });
  return decoded === undefined ? undefined : { kind: "probe", target: decoded };
}

interface TargetFields {
  readonly type: unknown;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly timeoutMs: number | undefined;
}

function targetOf({
  type,
  host,
  port,
  timeoutMs,
}: TargetFields): OrderOf<"probe">["target"] | undefined {
  if (type === "broadcast") return port === undefined ? undefined : { type, port };
  if (timeoutMs === undefined) return undefined;
  if (type === "dns") return host === undefined ? undefined : { type, host, timeoutMs };
  if (port === undefined) return undefined;
  if (type === "door") return { type, host, port, timeoutMs };
  if (type !== "tcp" || host === undefined) return undefined;
  return { type, host, port, timeoutMs };
}

const textOf = (value: unknown): string | undefined =>
  typeof value === "string" ? value : undefined;

const numberOf = (value: unknown): number | undefined =>
  typeof value === "number" ? value : undefined;

function withText(
  fields: Fields,
  name: string,
  make: (text: string) => GuestOrder,
): GuestOrder | undefined {
  const text = fields.get(name);
  return typeof text === "string" ? make(text) : undefined;
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null
    ? new Map<string, unknown>(Object.entries(value))
    : undefined;
}

function textRecord(value: unknown): Record<string, string> | undefined {
  const record: Record<string, string> = {};
  for (const [name, text] of fieldsOf(value) ?? [["", undefined]]) {
    if (typeof text !== "string") return undefined;
    record[name] = text;
  }
  return record;
}

function listOf<T>(value: unknown, decode: (item: unknown) => T | undefined): T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const list: T[] = [];
  for (const item of value) {
    const decoded = decode(item);
    if (decoded === undefined) return undefined;
    list.push(decoded);
  }
  return list;
}
