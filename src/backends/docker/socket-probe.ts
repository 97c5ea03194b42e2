/**
 * Finds out whether a container of an engine and runtime reaches a socket of this host that is bound into it: only then do engine
 * and host share a kernel, and only then can doors be sockets. Nothing is concluded from names and versions.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import * as z from "zod/mini";
import { LaunchError, messageOf, systemCode } from "../../base/errors.ts";
import type { HostPath } from "../../base/ids.ts";
import { passingLabels, ROLE_LABEL } from "../../base/labels.ts";
import { ignore } from "../../base/log.ts";
import { Scope } from "../../base/scope.ts";
import type { Engine, MountBody } from "../../engine/contract.ts";
import type { EngineInfo } from "../../engine/schemas.ts";
import { ownerState, readBootId, readOwner } from "../../process/identity.ts";
import { ownershipLabels, readOwnerLabel } from "../../process/ownership.ts";
import { cached, known, type Question } from "./cache.ts";
import { bind } from "./render.ts";
import { runProbe } from "./run-probe.ts";

const answerSchema = z.object({
  isReached: z.boolean(),
  /** Boot id as the container sees it; empty when it said none. */
  bootId: z.string(),
  reason: z.string(),
});
/** What a probe found. */
export type SocketAnswer = z.infer<typeof answerSchema>;

export interface SocketProbeInput {
  readonly engine: Engine;
  readonly info: EngineInfo;
  /** Undefined: the engine's default. */
  readonly runtime: string | undefined;
  readonly cacheDir: HostPath;
  readonly signal?: AbortSignal | undefined;
}

const GUEST_NODE = "/probe/node";
const GUEST_SOCKETS = "/probe/sockets";
const SOCKET = "probe.sock";
/** Where a program of the host finds what it is linked to. */
const LIBRARIES = ["/usr", "/lib", "/lib64", "/lib32", "/nix/store"] as const;
const MAX_SOCKET_PATH = 100;
const PRINT = `const fail = (e) => { console.error(e.message); process.exit(3); };
const socket = require("node:net").connect("${GUEST_SOCKETS}/${SOCKET}").on("error", fail);
socket.once("data", (nonce) => {
  console.log(String(nonce), require("node:fs").readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  process.exit(0);
});`;

/** Runs the probe, once for an engine, runtime and boot. Throws HostError where the engine cannot be reached. */
export async function probeSockets(input: SocketProbeInput): Promise<SocketAnswer> {
  return cached(input.cacheDir, questionOf(input), () => ask(input));
}

/** What an earlier probe found; undefined where there was none. */
export function knownSockets(input: SocketProbeInput): SocketAnswer | undefined {
  return known(input.cacheDir, questionOf(input));
}

function questionOf({ engine, info, runtime }: SocketProbeInput): Question<SocketAnswer> {
  const name = runtime ?? info.DefaultRuntime;
  const { path = "", runtimeArgs = [] } = info.Runtimes[name] ?? {};
  const key = ["sockets", info.ID, engine.endpoint.source, name, path, ...runtimeArgs];
  const build = [...key, changeTime(path), readBootId() ?? "", process.execPath];
  return { key: build, schema: answerSchema };
}

async function ask(input: SocketProbeInput): Promise<SocketAnswer> {
  await using scope = new Scope();
  const nonce = randomBytes(16).toString("hex");
  const directory = makeDirectory(input.cacheDir);
  scope.defer("probe directory", () => rmSync(directory, { recursive: true, force: true }));
  try {
    await listen(scope, join(directory, SOCKET), nonce);
    const { runtime, signal, engine, cacheDir } = input;
    const image = await emptyImage(engine, cacheDir, scope);
    const argv = [GUEST_NODE, "-e", PRINT] as const;
    const run = { cacheDir, image, argv, mounts: mountsOf(directory), runtime, signal };
    const { stdout, stderr, exitCode } = await runProbe(engine, run);
    const [said = "", bootId = ""] = stdout.trim().split(" ");
    if (said === nonce) return { isReached: true, bootId, reason: "" };
    const seen = stderr.trim().split("\n")[0] ?? "";
    return notReached(seen === "" ? `exit status ${exitCode}` : seen);
  } catch (error) {
    if (!(error instanceof LaunchError) && systemCode(error) === undefined) throw error;
    if (error instanceof LaunchError) return notReached(messageOf(error));
    throw error;
  }
}

function notReached(reason: string): SocketAnswer {
  return { isReached: false, bootId: "", reason: reason.slice(0, 500) };
}

/** Where the home's cache is too deep for a socket, a temporary directory serves. */
function makeDirectory(cacheDir: string): string {
  const isShort =
    existsSync(cacheDir) &&
    Buffer.byteLength(join(cacheDir, "probe-XXXXXX", SOCKET)) < MAX_SOCKET_PATH;
  const directory = mkdtempSync(join(isShort ? cacheDir : tmpdir(), "probe-"));
  chmodSync(directory, 0o755);
  return directory;
}

async function listen(scope: Scope, path: string, nonce: string): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end(nonce);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  scope.defer("probe socket", () => new Promise((resolve) => server.close(resolve)));
  chmodSync(path, 0o666);
}

/** An image without a file: what is run in it is bound from the host. It says whose it is, so that one that is left is found. */
async function emptyImage(engine: Engine, cacheDir: HostPath, scope: Scope): Promise<string> {
  await ignore(removeLeftImages(engine), "cleanup finds them, too");
  const tag = `bot-bottle-probe:${randomBytes(6).toString("hex")}`;
  const labels = Object.entries(passingLabels("probe", ownershipLabels(cacheDir)));
  const changes = labels.map(([name, value]) => `LABEL ${name}=${JSON.stringify(value)}`);
  const tree = Readable.from([Buffer.alloc(1024)]);
  const id = await engine.images.importTree({ tree, tag, changes });
  scope.defer("probe image", () =>
    ignore(engine.images.remove(tag), "an image without a file is nothing to keep"),
  );
  return id;
}

/** Removes what processes left that were killed in the middle of this. */
async function removeLeftImages(engine: Engine): Promise<void> {
  const self = readOwner();
  for (const { Id, Labels } of await engine.images.list({ [ROLE_LABEL]: "probe" })) {
    const owner = readOwnerLabel(Labels);
    if (owner !== undefined && ownerState(owner, self) === "dead") await engine.images.remove(Id);
  }
}

function mountsOf(directory: string): readonly MountBody[] {
  return [
    ...LIBRARIES.filter((path) => existsSync(path)).map((path) => bind(path, path, "ro")),
    bind(process.execPath, GUEST_NODE, "ro"),
    bind(directory, GUEST_SOCKETS, "ro"),
  ];
}

/** Another build of a runtime under the same name is another runtime; of one that is not ours to see nothing is known. */
function changeTime(path: string): string {
  try {
    const stats = path.startsWith("/") ? statSync(path, { throwIfNoEntry: false }) : undefined;
    return String(stats?.mtimeMs ?? "");
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return "";
  }
}
