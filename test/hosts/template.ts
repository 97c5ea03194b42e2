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
    const { stdout, stderr, status } = await emulator.agent.exec(["bash", "-ec", WARM_UP]);
    if (status !== 0) throw new Error(`the new host does not work: ${stdout}${stderr}`);
    await save(emulator, join(host, SAVED.state));
  } finally {
    await emulator.stop();
  }
  rmSync(run, { recursive: true });
}

/** What is read once here is in the saved memory. */
const WARM_UP = [
  ...Object.keys(SMOLVM_WHEELS).map((it) => `/opt/smolvm/${it}/smolvm --version`),
  "cat /opt/smolvm/*/*.so* /usr/local/bin/node >/dev/null",
  "node -e 0 && bwrap --version && git --version && test -c /dev/kvm",
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
