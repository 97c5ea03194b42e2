/**
 * Whether machines boot here at all: KVM may be there and still not run a guest. The smallest machine is booted within a bound,
 * once for each program and boot of the host; the answer is kept in the cache.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod/mini";
import { BottleError, messageOf, systemCode } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";
import { parseJson } from "../../base/json.ts";
import { makeDirectory } from "../../base/make-directory.ts";
import { requireBinary } from "../../process/find-binary.ts";
import { readBootId } from "../../process/identity.ts";
import type { BackendPorts } from "../contract.ts";
import { type Access, planBinds, reach } from "./access.ts";
import type { LookAtKvm } from "./kvm.ts";
import { preparePackage } from "./package.ts";
import type { FoundSmolvm } from "./prepare.ts";
import { endMachines, OBJECTS } from "./reap.ts";
import { Smolvm } from "./smolvm.ts";
import { chooseBase, makeBase, makeStateDir } from "./state-dir.ts";

/** Longest boot; a machine that can boot takes seconds, also where the processor is emulated. */
const BOOT_MS = 60_000;
/** How long a failure is believed: a machine that was busy may boot later. */
const FAILURE_MS = 600_000;
const NAME = "bot-bottle-probe";
/** No user has it; a probe holds nothing for longer than its boot. */
const PROBE_UID = 2_000_000_000 - 1;

const answerSchema = z.strictObject({ boots: z.boolean(), reason: z.string(), hint: z.string() });
/** What the probe found; reason and hint are empty where machines boot. */
export type BootAnswer = z.infer<typeof answerSchema>;

/** What a boot needs; nothing is kept, and no package is unpacked, without a cache. */
export interface BootContext {
  readonly ports: BackendPorts;
  readonly cacheDir: HostPath | undefined;
  readonly lookAtKvm: LookAtKvm;
  readonly onProgress: (detail: string) => void;
}

/** Boots the smallest machine, or tells what an earlier probe of this boot found. */
export async function probeBoot(found: FoundSmolvm, context: BootContext): Promise<BootAnswer> {
  const kvm = context.lookAtKvm(process.getuid?.() === 0);
  if (process.platform === "linux" && kvm.kind === "closed")
    return { boots: false, reason: kvm.reason, hint: kvm.hint };
  const file = context.cacheDir === undefined ? undefined : answerFile(found, context.cacheDir);
  const known = file === undefined ? undefined : readAnswer(file, context.ports.clock.now());
  if (known !== undefined) return known;
  if (context.ports.onSkipped !== undefined) {
    context.ports.onSkipped("whether a small machine boots here; it is taken for granted");
    return { boots: true, reason: "", hint: "" };
  }
  const answer = await tryBoot(found, context, kvm.kind === "open" ? kvm.gid : undefined);
  if (file !== undefined) keepAnswer(file, answer);
  return answer;
}

async function tryBoot(
  found: FoundSmolvm,
  { ports, cacheDir, onProgress }: BootContext,
  gid: number | undefined,
): Promise<BootAnswer> {
  const what = "a small machine does not boot here";
  try {
    const program =
      cacheDir === undefined
        ? found.program
        : await preparePackage(found.program, { ports, cacheDir, onProgress });
    await boot({ ...found, program }, ports, { gid, what });
    return { boots: true, reason: "", hint: "" };
  } catch (error) {
    const hint = error instanceof BottleError ? (error.hint ?? "") : "";
    return { boots: false, reason: messageOf(error), hint };
  }
}

interface BootOptions {
  readonly gid: number | undefined;
  readonly what: string;
}

/** Throws when the machine does not come up; nothing is left in either case. */
async function boot(
  found: FoundSmolvm,
  ports: BackendPorts,
  { gid, what }: BootOptions,
): Promise<void> {
  const stateDir = parseHostPath(`/tmp/bot-bottle-vm-${randomBytes(8).toString("hex")}`);
  const access = await probeAccess(found, ports, { stateDir, gid });
  const objects = {
    [OBJECTS.state]: [stateDir],
    [OBJECTS.seenState]: [reach(access, stateDir)],
    [OBJECTS.base]: access.kind === "dropped" ? [access.base] : [],
  };
  try {
    makeStateDir(stateDir, access.kind === "dropped" ? access : undefined);
    if (access.kind === "dropped") makeBase(access.base);
    const { exec, searchPath } = ports;
    const smolvm = new Smolvm({ ...found, access, stateDir, exec, searchPath });
    const size = ["--cpus", "1", "--mem", "256"];
    await smolvm.command(["machine", "create", "--name", NAME, ...size], { what });
    await smolvm.command(["machine", "start", "--name", NAME], { what, timeoutMs: BOOT_MS });
  } finally {
    await endMachines(objects, ports);
  }
}

interface ProbePaths {
  readonly stateDir: HostPath;
  readonly gid: number | undefined;
}

async function probeAccess(
  { program }: FoundSmolvm,
  ports: BackendPorts,
  { stateDir, gid }: ProbePaths,
): Promise<Access> {
  const uid = process.getuid?.() ?? -1;
  if (uid !== 0) return { kind: "own", uid, gid: process.getgid?.() ?? -1 };
  const [sh = "", unshare = "", setpriv = ""] = await Promise.all(
    ["sh", "unshare", "setpriv"].map((name) => requireBinary(name, ports.searchPath)),
  );
  const paths = [
    stateDir,
    parseHostPath(dirname(program.program)),
    program.libDir,
    program.agentRootfs,
  ];
  return {
    kind: "dropped",
    uid: PROBE_UID,
    gid: gid ?? PROBE_UID,
    base: chooseBase(),
    binds: planBinds(paths.map((source) => ({ source }))),
    programs: {
      sh: parseHostPath(sh),
      unshare: parseHostPath(unshare),
      setpriv: parseHostPath(setpriv),
    },
  };
}

/** Another program, another boot or another user: another answer. What of the device changes is looked at each time. */
function answerFile({ program }: FoundSmolvm, cacheDir: HostPath): string {
  const { size, mtimeMs } = statSync(program.program);
  const key = [program.program, size, mtimeMs, readBootId(), process.getuid?.()];
  const name = createHash("sha256").update(key.join("\0")).digest("hex").slice(0, 16);
  return join(cacheDir, "smolvm", `boot-${name}.json`);
}

function readAnswer(file: string, now: number): BootAnswer | undefined {
  try {
    const answer = answerSchema.safeParse(parseJson(readFileSync(file, "utf8"))).data;
    const isOld = now - statSync(file).mtimeMs > FAILURE_MS;
    return answer?.boots === false && isOld ? undefined : answer;
  } catch (error) {
    if (systemCode(error) === undefined && !(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

/** Where it cannot be kept, the next one probes again. */
function keepAnswer(file: string, answer: BootAnswer): void {
  try {
    makeDirectory(dirname(file));
    const temporary = `${file}.${process.pid}`;
    writeFileSync(temporary, JSON.stringify(answer), { mode: 0o600 });
    renameSync(temporary, file);
  } catch (error) {
    if (systemCode(error) === undefined && !(error instanceof BottleError)) throw error;
  }
}
