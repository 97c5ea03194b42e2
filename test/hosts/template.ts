// Boots the built disk once and saves the running machine, so that a test gets it in half a second.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Emulator } from "./emulator.ts";
import { machineTraits, SMOLVM_WHEELS } from "./recipe.ts";

const BOOT_MS = 300_000;

/** The files of a saved machine, in the folder of the host. */
export const SAVED = { disk: "saved.qcow2", memory: "saved.memory", state: "saved.state" } as const;

/** Boots, warms what every test reads, and saves. The shared folders must not be mounted while that happens. */
export async function saveTemplate(host: string): Promise<void> {
  const run = join(host, "template");
  const empty = join(run, "empty");
  mkdirSync(empty, { recursive: true });
  const disk = join(host, SAVED.disk);
  execFileSync("qemu-img", ["create", "-qf", "qcow2", "-F", "raw", "-b", "disk.img", disk]);
  const signal = AbortSignal.timeout(BOOT_MS);
  const emulation = {
    ...{ host, run, disk, counterKhz: machineTraits().counterKhz },
    memory: { file: join(host, SAVED.memory), isWritten: true },
    folders: { io: empty, checkout: empty },
  };
  const emulator = await Emulator.start(emulation, [], signal);
  try {
    await emulator.agent.ready(signal);
    const { stdout, stderr, status } = await emulator.agent.exec(["bash", "-ec", WARM_UP], {
      timeoutMs: BOOT_MS,
    });
    if (status !== 0) throw new Error(`the new host does not work: ${stdout}${stderr}`);
    await save(emulator, join(host, SAVED.state));
  } finally {
    await emulator.stop();
  }
  rmSync(run, { recursive: true });
}

/**
 * One machine's life: what it reads is in the saved memory then, and the first of a test is as fast as the second. On a busy machine
 * it may take longer than smolvm waits; the tests tell what does not work.
 */
const MACHINE = [
  "export HOME=/root/warm-up SMOLVM_LIB_DIR=$dir SMOLVM_AGENT_ROOTFS=$dir/agent-rootfs SMOLVM_IMAGE_SEEDS=0",
  "$dir/smolvm machine create --name warm-up --image /opt/image --cpus 1 --mem 512 -- sleep infinity",
  "$dir/smolvm machine start --name warm-up && $dir/smolvm machine exec --name warm-up -- node -e 0 || true",
  "$dir/smolvm machine delete --force --name warm-up",
  "rm -r $HOME",
].join("; ");
const WARM_UP = [
  "cat /usr/local/bin/node >/dev/null",
  "node -e 0 && bwrap --version && git --version && test -c /dev/kvm",
  ...Object.keys(SMOLVM_WHEELS).map((it) => `(set -e; dir=/opt/smolvm/${it}; ${MACHINE})`),
  "sync",
].join("\n");

async function save(emulator: Emulator, state: string): Promise<void> {
  const { monitor } = emulator;
  const capability = { capability: "x-ignore-shared", state: true };
  await monitor.ask("migrate-set-capabilities", { capabilities: [capability] });
  await monitor.ask("stop");
  await monitor.ask("migrate", { uri: `exec:cat > '${state}'` });
  const end = await monitor.until("query-migrate", "status", ["completed", "failed"]);
  if (end !== "completed" || statSync(state).size === 0) throw new Error("QEMU saved no state");
  // Only a QEMU that ends of itself has written its disk.
  await monitor.ask("quit");
  await emulator.ended;
}
