// What the emulated host is made of, and the key under which it is cached: same key, same host.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** The smolvm releases in the host: the current one, and the first that has `--mount-socket`. */
export const SMOLVM_WHEELS = {
  "1.32.2": "81b104e2622aa0b187b6b7054397c391151b83db2638a16d0e54c517684f0dc2",
  "1.8.1": "f76abbbae943d3e8d88fb41f2365ddf55e858adfba2456dff95b1575da9dc6d1",
} as const;

export type SmolvmVersion = keyof typeof SMOLVM_WHEELS;

/** Programs that build and run it, for scripts/host-packages.sh. */
export const NEEDED_PROGRAMS: readonly string[] = [
  "qemu-system-x86_64:qemu-system-x86",
  "qemu-img:qemu-utils",
  "mmdebstrap:mmdebstrap",
  "mke2fs:e2fsprogs",
  "zstd:zstd",
  "pip3:python3-pip",
  "python3:python3",
  "flock:util-linux",
  "setpriv:util-linux",
].map((it) => `${it}:the emulated host of smolvm`);

export const DEBIAN_SUITE = "bookworm";

/** What is installed in the host; its tree is the guests' image as well. */
export const DEBIAN_PACKAGES: readonly string[] = [
  "bubblewrap",
  "ca-certificates",
  "curl",
  "git",
  "iproute2",
  "kmod",
  "openssh-client",
  "procps",
  "busybox-static",
  "strace",
  "tini",
];

/** Loaded before the root is there. */
export const EARLY_MODULES: readonly string[] = [
  "virtio_pci",
  "virtio_blk",
  "crc32c_generic",
  "crc32c-intel",
  "ext4",
];

/** Loaded by the host's own init; the other modules of the kernel are left out of the image. */
export const LATE_MODULES: readonly string[] = [
  "virtio_console",
  "virtio-rng",
  "9pnet_virtio",
  "9p",
  "kvm_amd",
  "tun",
  "vhost_vsock",
  "overlay",
  "dummy",
];

export const CPUS = 2;
export const MEMORY_MIB = 3072;

/** What of this machine a saved state depends on: QEMU's version, and the rate of the counter that guests see. */
export function machineTraits(): { readonly qemu: string; readonly counterKhz: number } {
  const qemu = execFileSync("qemu-system-x86_64", ["--version"], { encoding: "utf8" });
  const bogomips = /^bogomips\s*:\s*([\d.]+)/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1];
  if (bogomips === undefined) throw new Error("/proc/cpuinfo names no bogomips");
  // Half the figure is MHz; machines of one kind differ in the last digits.
  return { qemu: qemu.split("\n")[0] ?? "", counterKhz: Math.round(Number(bogomips) * 0.5) * 1000 };
}

/** Names everything that the built host depends on. */
export function hostKey(): string {
  const hash = createHash("sha256");
  for (const file of readdirSync(import.meta.dirname, {
    recursive: true,
    encoding: "utf8",
  }).sort()) {
    const path = join(import.meta.dirname, file);
    if (isIngredient(file) && statSync(path).isFile())
      hash.update(`${file}\0${readFileSync(path, "utf8")}\0`);
  }
  hash.update(JSON.stringify([process.version, process.arch, machineTraits()]));
  return hash.digest("hex").slice(0, 16);
}

/** The files here of which the image or the saved state is made. */
function isIngredient(file: string): boolean {
  return /^(?:recipe|build|disk|initrd|template|qemu)\.ts$|^inside\/(?!vitest)/.test(file);
}

/** Where built hosts lie: outside the checkout, for every checkout of this user. */
export function hostsDirectory(): string {
  const cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return join(cache, "bot-bottle", "hosts");
}
