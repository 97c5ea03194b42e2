// Runs programs in the emulated host for whoever is at the other end of the serial port: one JSON object per line.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { openSync, read, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";

interface Request {
  readonly id: number;
  readonly argv: readonly [string, ...string[]];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
  /** Base64; absent: no input. */
  readonly input?: string;
  readonly timeoutMs: number;
}

const PORTS = "/sys/class/virtio-ports";
/** How long output may still come from grandchildren that hold the pipes of a program that has ended. */
const DRAIN_MS = 2000;

const port = readdirSync(PORTS).find(
  (name) => readFileSync(join(PORTS, name, "name"), "utf8").trim() === "agent",
);
if (port === undefined) throw new Error("no serial port is named agent");
const descriptor = openSync(join("/dev", port), "r+");

function send(message: unknown): void {
  const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let from = 0; from < bytes.length; ) from += writeSync(descriptor, bytes, from);
}

function run(request: Request): void {
  const { id, argv, cwd = "/root", env = {}, uid, input, timeoutMs } = request;
  const [program, ...args] = argv;
  const child: ChildProcessWithoutNullStreams = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env },
    detached: true,
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let isTimedOut = false;
  const timer = setTimeout(() => {
    isTimedOut = true;
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  }, timeoutMs);
  child.stdout.on("data", (chunk: Buffer) => send({ id, out: chunk.toString("base64") }));
  child.stderr.on("data", (chunk: Buffer) => send({ id, err: chunk.toString("base64") }));
  // A program may end without reading its input.
  child.stdin.on("error", (error) => void error);
  child.stdin.end(Buffer.from(input ?? "", "base64"));
  let isOver = false;
  const end = (result: object): void => {
    clearTimeout(timer);
    if (!isOver) send({ id, end: { isTimedOut, ...result } });
    isOver = true;
  };
  child.on("error", (error) => end({ failure: error.message }));
  child.on("exit", (status, signal) => {
    setTimeout(() => end({ status, signal }), DRAIN_MS).unref();
    child.on("close", () => end({ status, signal }));
  });
}

let pending = "";
function take(text: string): void {
  const lines = (pending + text).split("\n");
  pending = lines.pop() ?? "";
  for (const line of lines) if (line !== "") run(JSON.parse(line));
}

const buffer = Buffer.alloc(65_536);
/** The port gives no bytes, at once, while nobody is at the other end. */
function listen(): void {
  read(descriptor, buffer, 0, buffer.length, null, (error, length) => {
    if (error) throw error;
    if (length > 0) take(buffer.toString("latin1", 0, length));
    setTimeout(listen, length > 0 ? 0 : 20);
  });
}

send({ ready: true });
listen();
