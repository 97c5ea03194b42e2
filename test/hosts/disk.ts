// The disk of the emulated host: Debian, smolvm, Node and the guests' image, put together as a tree and then as ext4.
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { basename, dirname, join } from "node:path";
import { kernelDirectory, modulesInOrder, writeInitrd } from "./initrd.ts";
import {
  DEBIAN_PACKAGES,
  DEBIAN_SUITE,
  EARLY_MODULES,
  LATE_MODULES,
  SMOLVM_WHEELS,
  type SmolvmVersion,
} from "./recipe.ts";
import { run, type Tool } from "./tool.ts";

const DISK_SIZE = "8G";
/** Sizes to which smolvm grows its templates; grown here, since unpacking them takes minutes in the emulated host. */
const TEMPLATES = { overlay: "10G", storage: "20G" } as const;
/** The kernel is unpacked, not installed: nothing of it but the modules is wanted in the tree. */
const FETCH_KERNEL = [
  'cd "$1/opt" &&',
  "package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \\(linux-image-[0-9].*\\)/\\1/p') &&",
  "apt-get download $package && dpkg-deb -x linux-image-*.deb kernel && rm linux-image-*.deb",
].join(" ");

/** Installs Debian into `work/root` and unpacks its kernel into `work/root/opt/kernel`. */
export async function installDebian(work: string, tool: Tool): Promise<void> {
  await tool("mmdebstrap", [
    ...["--quiet", "--mode=root", "--variant=minbase", `--include=${DEBIAN_PACKAGES.join(",")}`],
    ...["man", "doc", "locale", "info"].map((it) => `--dpkgopt=path-exclude=/usr/share/${it}/*`),
    ...["--dpkgopt=force-unsafe-io", `--customize-hook=${FETCH_KERNEL}`],
    ...[DEBIAN_SUITE, join(work, "root")],
  ]);
}

/** Downloads the wheels, each with its digest, and unpacks them into `work/wheels/<version>`. */
export async function fetchWheels(work: string, tool: Tool): Promise<void> {
  for (const [version, digest] of Object.entries(SMOLVM_WHEELS)) {
    const target = join(work, "wheels", version);
    mkdirSync(target, { recursive: true });
    const list = join(target, "requirements.txt");
    writeFileSync(list, `smolmachines==${version} --hash=sha256:${digest}\n`);
    const wanted = ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", list];
    await tool("pip3", ["download", "--quiet", ...wanted, "-d", target]);
    const wheel = readdirSync(target).find((it) => it.endsWith(".whl"));
    if (wheel === undefined) throw new Error(`no wheel of smolvm ${version} was downloaded`);
    await tool("python3", ["-m", "zipfile", "-e", join(target, wheel), target]);
  }
}

/** Puts smolvm, Node, the modules, our own programs and the guests' image into the tree. */
export async function fillTree(work: string, tool: Tool): Promise<void> {
  const root = join(work, "root");
  const host = join(root, "opt/host");
  mkdirSync(host, { recursive: true });
  copyFileSync(process.execPath, join(root, "usr/local/bin/node"));
  chmodSync(join(root, "usr/local/bin/node"), 0o755);
  await addModules(work, tool);
  writeFileSync(join(host, "modules"), `${LATE_MODULES.join("\n")}\n`);
  copyFileSync(join(import.meta.dirname, "inside/init.sh"), join(host, "init.sh"));
  chmodSync(join(host, "init.sh"), 0o755);
  // Node's own stripping is a large WebAssembly program, and such are what crashes under emulation.
  const agent = readFileSync(join(import.meta.dirname, "inside/agent.ts"), "utf8");
  writeFileSync(join(host, "agent.mjs"), stripTypeScriptTypes(agent));
  addUser(root);
  makeGuestImage(root);
  for (const version of Object.keys(SMOLVM_WHEELS)) {
    await addSmolvm(work, version as SmolvmVersion, tool);
  }
}

async function addModules(work: string, tool: Tool): Promise<void> {
  const root = join(work, "root");
  const unpacked = join(root, "opt/kernel");
  // Some releases of the package have /lib, later ones /usr/lib.
  const makeUsr = 'mkdir -p "$1/usr" && { [ -e "$1/usr/lib" ] || ln -s ../lib "$1/usr/lib"; }';
  await tool("sh", ["-c", makeUsr, "-", unpacked]);
  const kernel = kernelDirectory(unpacked);
  await tool("chroot", [root, "depmod", "-b", "/opt/kernel", basename(kernel)]);
  const target = join(root, "usr/lib/modules", basename(kernel));
  for (const file of modulesInOrder(kernel, [...EARLY_MODULES, ...LATE_MODULES])) {
    mkdirSync(dirname(join(target, file)), { recursive: true });
    copyFileSync(join(kernel, file), join(target, file));
  }
  for (const list of ["modules.order", "modules.builtin", "modules.builtin.modinfo"]) {
    copyFileSync(join(kernel, list), join(target, list));
  }
  await tool("chroot", [root, "depmod", basename(kernel)]);
  const image = readdirSync(join(unpacked, "boot")).find((it) => it.startsWith("vmlinuz"));
  if (image === undefined) throw new Error("the kernel's package has no vmlinuz");
  copyFileSync(join(unpacked, "boot", image), join(work, "vmlinuz"));
  rmSync(unpacked, { recursive: true });
}

function addUser(root: string): void {
  const line = (text: string): { flag: "a"; text: string } => ({ flag: "a", text });
  for (const [file, { text, flag }] of [
    ["etc/passwd", line("node:x:1000:1000::/home/node:/bin/bash\n")],
    ["etc/group", line("node:x:1000:\n")],
  ] as const) {
    writeFileSync(join(root, file), text, { flag });
  }
  mkdirSync(join(root, "home/node"), { recursive: true });
  chownSync(join(root, "home/node"), 1000, 1000);
}

/** The tree so far is the guests' image as well: its files are linked, not copied, except those that a guest's user may own. */
function makeGuestImage(root: string): void {
  const image = join(root, "opt/image");
  mkdirSync(image);
  for (const name of readdirSync(root)) {
    if (["usr", "bin", "sbin", "lib", "lib64", "lib32", "libx32", "etc"].includes(name)) {
      run("cp", ["-al", join(root, name), join(image, name)]);
    }
  }
  for (const name of ["dev", "proc", "sys", "run", "var", "mnt", "opt", "srv", "workspace"]) {
    mkdirSync(join(image, name));
  }
  mkdirSync(join(image, "root"), { mode: 0o700 });
  mkdirSync(join(image, "tmp"));
  chmodSync(join(image, "tmp"), 0o1777);
  cpSync(join(root, "home"), join(image, "home"), { recursive: true });
  chownSync(join(image, "home/node"), 1000, 1000);
  for (const name of ["passwd", "group", "resolv.conf", "hostname", "hosts"])
    unlink(root, image, name);
  rmSync(join(image, "usr/lib/modules"), { recursive: true });
  rmSync(join(image, "etc/mtab"), { force: true });
}

/** Gives the image a file of its own, so that writing to one is not writing to the other. */
function unlink(root: string, image: string, name: string): void {
  rmSync(join(image, "etc", name), { force: true });
  try {
    copyFileSync(join(root, "etc", name), join(image, "etc", name));
  } catch {
    writeFileSync(join(image, "etc", name), "");
  }
}

/** /opt/smolvm/<version>: the program under its own name, its libraries, its templates and its guest's files. */
async function addSmolvm(work: string, version: SmolvmVersion, tool: Tool): Promise<void> {
  const wheel = join(work, "wheels", version, "smol");
  const target = join(work, "root/opt/smolvm", version);
  mkdirSync(join(target, "agent-rootfs"), { recursive: true });
  copyFileSync(join(wheel, "smol-vmm"), join(target, "smolvm"));
  chmodSync(join(target, "smolvm"), 0o755);
  linkSync(join(target, "smolvm"), join(target, "smol-vmm"));
  const files = readdirSync(wheel);
  // Of the several names of one library, which the archive holds as copies, those that are looked for.
  for (const name of ["libkrun.so", "libkrunfw.so.5"])
    copyFileSync(join(wheel, name), join(target, name));
  symlinkSync("libkrunfw.so.5", join(target, "libkrunfw.so"));
  symlinkSync("libkrun.so", join(target, "libkrun.so.2"));
  for (const [kind, size] of Object.entries(TEMPLATES)) {
    const name = `${kind}-template.ext4`;
    if (!files.includes(`${name}.zst`)) continue;
    copyFileSync(join(wheel, `${name}.zst`), join(target, `${name}.zst`));
    await tool("zstd", ["-dqf", "--sparse", join(wheel, `${name}.zst`), "-o", join(target, name)]);
    await tool("truncate", ["-s", size, join(target, name)]);
  }
  const archive = files.find((it) => it.startsWith("agent-rootfs.tar"));
  if (archive === undefined) throw new Error(`smolvm ${version} has no agent-rootfs`);
  const unpacked = join(target, "agent-rootfs");
  await tool("tar", ["--auto-compress", "-xpf", join(wheel, archive), "-C", unpacked]);
  await tool("chown", ["-R", "0:0", target]);
  chmodSync(unpacked, 0o755);
}

/** Writes `work/initrd` and `work/disk.img`. */
export async function writeDisk(work: string, init: string, tool: Tool): Promise<void> {
  const root = join(work, "root");
  const early = modulesInOrder(kernelDirectory(root), EARLY_MODULES);
  writeInitrd(join(work, "initrd"), root, early, init);
  for (const name of ["var/cache/apt", "var/lib/apt/lists", "boot"]) {
    rmSync(join(root, name), { recursive: true, force: true });
  }
  const disk = join(work, "disk.img");
  writeFileSync(disk, "");
  await tool("truncate", ["-s", DISK_SIZE, disk]);
  await tool("mke2fs", [
    ...["-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum"],
    ...["-E", "lazy_itable_init=1,nodiscard", "-d", root, disk],
  ]);
}
