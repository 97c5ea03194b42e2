import { readFileSync } from "node:fs";
import { openMachineHost } from "../support/smolvm-host.ts";

const S = "smolvm machine";
async function variant(name: string, before: string) {
  const host = await openMachineHost();
  const cpu = () => {
    const f = readFileSync(`/proc/${host.pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return (Number(f[11]) + Number(f[12])) / 100;
  };
  const sh = async (c: string) => {
    const a = cpu(),
      w = performance.now();
    const r = await host.exec(["sh", "-c", c], { env: { HOME: "/root/state" }, timeoutMs: 300000 });
    return { cpu: cpu() - a, wall: (performance.now() - w) / 1000, ...r };
  };
  const b = await sh(before);
  if (b.status || b.stdout) console.log(name, b.status, b.stderr, b.stdout);
  await sh(`${S} create --name m1 --image /opt/image --cpus 1 --mem 512 -- sleep infinity`);
  const s = await sh(`${S} start --name m1`);
  const n = await sh(`${S} exec --name m1 -- node -e 0`);
  console.log(
    name.padEnd(20),
    `start cpu ${s.cpu.toFixed(1)} wall ${s.wall.toFixed(1)} st ${s.status}; node cpu ${n.cpu.toFixed(1)} wall ${n.wall.toFixed(1)} st ${n.status} ${s.stderr.slice(0, 0)}`,
  );
  await host[Symbol.asyncDispose]();
}
const V: Record<string, string> = {
  base: "true",
  nopoll: "echo 0 > /sys/module/kvm/parameters/halt_poll_ns",
  npt0: "rmmod kvm_amd && modprobe kvm_amd npt=0; cat /sys/module/kvm_amd/parameters/npt; chmod 666 /dev/kvm",
  params: "cd /sys/module/kvm_amd/parameters; grep . * ; cd ../../kvm/parameters; grep . *",
};
for (const k of process.argv.slice(2)) await variant(k, V[k]!);
