// The first file system of the emulated host: busybox and the modules that its root needs, as a cpio archive.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const DIRECTORY = 0o40_755;
const PROGRAM = 0o100_755;

/** The files of kernel modules in the order in which they must be loaded, by depmod's own list. */
export function modulesInOrder(kernel: string, names: readonly string[]): readonly string[] {
  const needs = new Map<string, readonly string[]>();
  for (const line of readFileSync(join(kernel, "modules.dep"), "utf8").split("\n")) {
    const [file = "", after = ""] = line.split(":");
    if (file !== "") needs.set(file, after.trim().split(" ").filter(Boolean));
  }
  const builtIn = readFileSync(join(kernel, "modules.builtin"), "utf8").split("\n");
  const ordered = new Set<string>();
  const add = (file: string): void => {
    for (const needed of [...(needs.get(file) ?? [])].reverse()) add(needed);
    ordered.add(file);
  };
  for (const name of names) {
    const isNamed = (file: string): boolean => sameModule(basename(file, ".ko"), name);
    const file = [...needs.keys()].find(isNamed);
    if (file !== undefined) add(file);
    else if (!builtIn.some(isNamed)) throw new Error(`the kernel has no module ${name}`);
  }
  return [...ordered];
}

function sameModule(one: string, other: string): boolean {
  return one.replaceAll("-", "_") === other.replaceAll("-", "_");
}

/** Writes the archive: `/init`, busybox, and the modules with their order. */
export function writeInitrd(
  target: string,
  root: string,
  modules: readonly string[],
  init: string,
): void {
  const kernel = kernelDirectory(root);
  const entries: [string, number, Buffer][] = [
    ...["bin", "proc", "dev", "root", "modules"].map((name): [string, number, Buffer] => [
      name,
      DIRECTORY,
      Buffer.alloc(0),
    ]),
    ["init", PROGRAM, Buffer.from(init)],
    ["bin/busybox", PROGRAM, readFileSync(findBusybox(root))],
    ["modules/order", PROGRAM, Buffer.from(`${modules.map((it) => basename(it)).join("\n")}\n`)],
    ...modules.map((file): [string, number, Buffer] => [
      `modules/${basename(file)}`,
      PROGRAM,
      readFileSync(join(kernel, file)),
    ]),
  ];
  const trailer = entry("TRAILER!!!", 0, Buffer.alloc(0), 0);
  const parts = entries.map(([name, mode, data], at) => entry(name, mode, data, at + 1));
  writeFileSync(target, Buffer.concat([...parts, trailer]));
}

/** /lib/modules/<release> of a tree. */
export function kernelDirectory(root: string): string {
  const modules = join(root, "usr/lib/modules");
  const release = readdirSync(modules)[0];
  if (release === undefined) throw new Error("no kernel in the tree");
  return join(modules, release);
}

function findBusybox(root: string): string {
  const found = ["usr/bin/busybox", "bin/busybox"].map((it) => join(root, it)).find(existsSync);
  if (found === undefined) throw new Error("no busybox in the tree");
  return found;
}

/** One entry of the "new" ASCII format: thirteen hexadecimal fields, the name, the data, each padded to four bytes. */
function entry(name: string, mode: number, data: Buffer, inode: number): Buffer {
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${fields.map((it) => it.toString(16).padStart(8, "0")).join("")}`;
  return Buffer.concat([padded(Buffer.from(`${header}${name}\0`)), padded(data)]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
