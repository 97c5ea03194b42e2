// How the emulated host is started: one machine definition for the template and for each restored copy of it.
import { join } from "node:path";
import { CPUS, MEMORY_MIB } from "./recipe.ts";

export interface Emulation {
  /** Folder of the built host: kernel, initrd. */
  readonly host: string;
  /** Folder of this run: sockets, console. */
  readonly run: string;
  /** The qcow2 that takes the writes. */
  readonly disk: string;
  /** File of the memory; private copies are made on write unless it is `written`. */
  readonly memory: { readonly file: string; readonly isWritten: boolean };
  /** Shown in the host as /io, and read-only as /checkout. */
  readonly folders: { readonly io: string; readonly checkout: string };
  readonly counterKhz: number;
}

/** Tags of the shared folders, in the order of {@link Emulation.folders}. */
export const FOLDER_TAGS = { io: "io", checkout: "checkout" } as const;

/** Names of what lies in the folder of a run. */
export const RUN_FILES = { agent: "agent", monitor: "monitor", console: "console" } as const;

/** The argv of QEMU: no KVM, no network, AMD's virtualization emulated, nothing but what is named here. */
export function emulationArgv(it: Emulation): readonly string[] {
  const { memory, run } = it;
  return [
    "qemu-system-x86_64",
    ...["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"],
    ...["-machine", "q35,memory-backend=ram", "-accel", "tcg,thread=multi,tb-size=512"],
    // With its wide registers: where they are left out, programs crash in the machines.
    ...["-cpu", "EPYC,+svm,+npt", "-smp", String(CPUS), "-m", String(MEMORY_MIB)],
    "-object",
    `memory-backend-file,id=ram,size=${MEMORY_MIB}M,mem-path=${memory.file},share=${memory.isWritten ? "on" : "off"}`,
    ...["-kernel", join(it.host, "vmlinuz"), "-initrd", join(it.host, "initrd")],
    ...["-append", kernelLine(it.counterKhz)],
    ...["-drive", `if=none,id=root,format=qcow2,cache=unsafe,file=${it.disk}`],
    ...["-device", "virtio-blk-pci,drive=root", "-device", "virtio-rng-pci"],
    ...["-device", "virtio-serial-pci"],
    ...["-chardev", `socket,id=agent,server=on,wait=off,path=${join(run, RUN_FILES.agent)}`],
    ...["-device", "virtserialport,chardev=agent,name=agent"],
    ...folder(FOLDER_TAGS.io, it.folders.io, false),
    ...folder(FOLDER_TAGS.checkout, it.folders.checkout, true),
    ...["-serial", `file:${join(run, RUN_FILES.console)}`],
    ...["-qmp", `unix:${join(run, RUN_FILES.monitor)},server=on,wait=off`],
  ];
}

function folder(tag: string, path: string, isReadOnly: boolean): readonly string[] {
  const mode = isReadOnly ? ",readonly=on" : "";
  return [
    ...["-fsdev", `local,id=${tag},security_model=none,multidevs=remap,path=${path}${mode}`],
    ...["-device", `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`],
  ];
}

/** Calibration of clocks is left out: the emulator's counter runs at the rate of the machine's own. */
function kernelLine(counterKhz: number): string {
  return [
    "console=ttyS0 quiet panic=-1 nokaslr mitigations=off audit=0 apparmor=0",
    `tsc=reliable tsc_early_khz=${counterKhz} lpj=${counterKhz * 4} no_timer_check`,
    "random.trust_cpu=on cryptomgr.notests rcupdate.rcu_expedited=1",
  ].join(" ");
}
