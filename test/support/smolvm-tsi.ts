// What the fake smolvm 0.8 needs of the machine: a hypervisor, which boots guests from packs as root, and a program on disk with
// the knobs of a test beside it. Guests are sandboxes with a root, uids and a loopback of their own.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BootRequest, type Knobs, receive } from "../fixtures/programs/smolvm-tsi/wire.ts";

const PROGRAMS = join(import.meta.dirname, "../fixtures/programs/smolvm-tsi");
/** The uid of whoever packed, which every file of a pack has. */
const PACKER = 501;
const CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID"];

/** One call of the program. */
export interface SmolvmCall {
  readonly at: number;
  readonly args: readonly string[];
}

/** A fake smolvm and the hypervisor behind it. */
export class SmolvmTsi implements AsyncDisposable {
  readonly root: string = mkdtempSync(join(tmpdir(), "smolvm-tsi-"));
  readonly #server: Server;
  readonly #guests = new Set<ChildProcess>();

  constructor(knobs: Partial<Knobs> = {}) {
    chmodSync(this.root, 0o755);
    mkdirSync(this.bin);
    mkdirSync(join(this.root, "packs"), { mode: 0o700 });
    const env = `FAKE_SMOLVM_HOME="\${0%/*}"`;
    writeFileSync(
      this.program,
      `#!/bin/sh\n${env} NODE_NO_WARNINGS=1 exec "${process.execPath}" "${PROGRAMS}/cli.ts" "$@"\n`,
      { mode: 0o755 },
    );
    writeFileSync(join(this.bin, "calls.log"), "");
    chmodSync(join(this.bin, "calls.log"), 0o666);
    this.set(knobs);
    this.#server = createServer((socket) => this.#boot(socket));
  }

  get bin(): string {
    return join(this.root, "bin");
  }

  get program(): string {
    return join(this.bin, "smolvm");
  }

  /** Calls so far but those for version and help. */
  get calls(): readonly SmolvmCall[] {
    const lines = readFileSync(join(this.bin, "calls.log"), "utf8").split("\n").filter(Boolean);
    return lines.map((line) => JSON.parse(line) as SmolvmCall);
  }

  /** Guests that run now. */
  get running(): number {
    return this.#guests.size;
  }

  /** Behaves otherwise from the next call on. */
  set(knobs: Partial<Knobs>): void {
    writeFileSync(join(this.bin, "knobs.json"), JSON.stringify(knobs), { mode: 0o644 });
  }

  async listen(): Promise<this> {
    const path = join(this.bin, "hypervisor");
    await new Promise<void>((done) => this.#server.listen(path, done));
    chmodSync(path, 0o666);
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const guest of this.#guests) guest.kill("SIGKILL");
    await new Promise((done) => this.#server.close(done));
    rmSync(this.root, { recursive: true, force: true, maxRetries: 3 });
  }

  /** One machine is one connection: the guest ends with it. */
  #boot(socket: Socket): void {
    receive<BootRequest>(socket, (request) => {
      const directory = mkdtempSync(join(this.root, "guest-"));
      const args = guestArgs(request, this.#template(request), directory);
      const child = spawn("nsenter", args, { stdio: "inherit" });
      this.#guests.add(child);
      socket.once("close", () => child.kill("SIGKILL"));
      child.once("close", () => {
        this.#guests.delete(child);
        socket.destroy();
        rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
      });
    });
  }

  /** The root of a pack, unpacked once: everything belongs to whoever packed it, and what was empty is missing. */
  #template({ pid, pack }: BootRequest): string {
    const file = `/proc/${pid}/root${pack}`;
    // Its time is that of its last use.
    const { size, ino } = statSync(file);
    const template = join(this.root, "packs", `${ino}-${size}`);
    if (existsSync(template)) return template;
    const bytes = readFileSync(file);
    const start = 4 + bytes.readUInt32BE(0);
    const lengths = JSON.parse(bytes.toString("utf8", 4, start)) as number[];
    mkdirSync(template);
    let at = start;
    for (const length of lengths) {
      const input = bytes.subarray(at, at + length);
      const isGzip = input.readUInt16BE(0) === 0x1f8b;
      execFileSync("tar", ["-x", isGzip ? "-z" : "-p", "-p", "-C", template, "-f", "-"], { input });
      at += length;
    }
    execFileSync("chown", ["-R", "-h", `${PACKER}:${PACKER}`, template]);
    for (const name of ["tmp", "var/tmp"])
      rmSync(join(template, name), { recursive: true, force: true });
    mkdirSync(join(template, "tmp"), { mode: 0o755 });
    execFileSync("chown", [`${PACKER}:${PACKER}`, join(template, "tmp")]);
    return template;
  }
}

/** Lays a guest's own files over the pack's in memory, or copies all of them where that cannot be. `$1` pack, `$2` directory. */
const OVERLAY = [
  'mount -t tmpfs -o mode=0755 fake-smolvm "$2"',
  'mkdir "$2/own" "$2/work" "$2/root"',
  'mount -t overlay -o "lowerdir=$1,upperdir=$2/own,workdir=$2/work" fake-smolvm "$2/root" || cp -a "$1/." "$2/root"',
  'shift 2; exec "$@"',
].join("\n");

/** Everything is named as the machine's process sees it, so that bubblewrap starts in its mount namespace. */
function guestArgs(
  { pid, directory, mounts, isFiltered }: BootRequest,
  template: string,
  own: string,
): string[] {
  return [
    ...["--target", String(pid), "--mount", "--", "unshare", "--mount", "--"],
    ...["sh", "-e", "-c", OVERLAY, "fake-smolvm", template, own],
    ...["bwrap", "--die-with-parent"],
    ...["--unshare-pid", "--unshare-ipc", "--unshare-uts"],
    ...(isFiltered ? ["--unshare-net"] : []),
    ...["--bind", `${own}/root`, "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/run"],
    ...["--ro-bind", process.execPath, "/.smolvm/node", "--ro-bind", PROGRAMS, "/.smolvm/programs"],
    ...["--bind", directory, "/.smolvm/run"],
    ...mounts.flatMap(({ host, guest, isReadOnly }) => [
      isReadOnly ? "--ro-bind" : "--bind",
      host,
      guest,
    ]),
    ...CAPABILITIES.flatMap((name) => ["--cap-add", `CAP_${name}`]),
    ...["--clearenv", "--setenv", "NODE_NO_WARNINGS", "1", "--chdir", "/"],
    ...["/.smolvm/node", "/.smolvm/programs/agent.ts"],
  ];
}

/** Starts a fake smolvm with its hypervisor. */
export function startSmolvmTsi(knobs: Partial<Knobs> = {}): Promise<SmolvmTsi> {
  return new SmolvmTsi(knobs).listen();
}
