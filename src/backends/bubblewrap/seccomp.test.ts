// Executes the assembled filter, instruction by instruction as the kernel would, over a table of calls.
import { describe, expect, it } from "vitest";
import {
  AUDIT_ARCH,
  BPF,
  MAX_FILTER_INSTRUCTIONS,
  parseSeccompArch,
  renderSeccompFilter,
  SECCOMP,
} from "./seccomp.ts";
import { type FilterOptions, REFUSED_CALLS, type SeccompArch } from "./syscalls.ts";

interface Call {
  readonly nr: number;
  readonly arch?: number;
  readonly args?: readonly bigint[];
}

function encodeCall(call: Call, arch: SeccompArch): Buffer {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.nr >>> 0, 0);
  data.writeUInt32LE((call.arch ?? AUDIT_ARCH[arch]) >>> 0, 4);
  call.args?.forEach((value, index) => {
    data.writeBigUInt64LE(BigInt.asUintN(64, value), 16 + 8 * index);
  });
  return data;
}

/** Classic BPF: one accumulator, forward jumps only. */
function interpret(filter: Buffer, data: Buffer): number {
  let accumulator = 0;
  for (let at = 0; at < filter.length; at += 8) {
    const code = filter.readUInt16LE(at);
    const k = filter.readUInt32LE(at + 4);
    if (code === BPF.answer) return k;
    if (code === BPF.loadWord) accumulator = data.readUInt32LE(k);
    else if (code === BPF.and) accumulator = (accumulator & k) >>> 0;
    else if (code === BPF.jumpIfEqual) at += 8 * filter.readUInt8(at + (accumulator === k ? 2 : 3));
    else if (code === BPF.jumpIfAtLeast)
      at += 8 * filter.readUInt8(at + (accumulator >= k ? 2 : 3));
    else throw new Error(`unknown opcode ${code}`);
  }
  throw new Error("ran off the end of the filter");
}

const PLAIN: FilterOptions = {
  allowsUserNamespaces: false,
  sharesProcessGroup: false,
  boundsSharedMemory: false,
};

function verdict(
  call: Call,
  arch: SeccompArch = "x64",
  options: Partial<FilterOptions> = {},
): string {
  const answer = interpret(
    renderSeccompFilter(arch, { ...PLAIN, ...options }),
    encodeCall(call, arch),
  );
  if (answer === SECCOMP.allow) return "allow";
  if (answer === SECCOMP.killProcess) return "kill";
  expect(answer & 0xffff0000).toBe(SECCOMP.errno);
  return `errno ${answer & 0xffff}`;
}

const CALLS = {
  x64: {
    read: 0,
    clone: 56,
    unshare: 272,
    socket: 41,
    socketpair: 53,
    ioctl: 16,
    fcntl: 72,
    setpgid: 109,
    setpriority: 141,
    ioprio_set: 251,
    personality: 135,
    setrlimit: 160,
    prlimit64: 302,
    ptrace: 101,
    execve: 59,
  },
  arm64: {
    read: 63,
    clone: 220,
    unshare: 97,
    socket: 198,
    socketpair: 199,
    ioctl: 29,
    fcntl: 25,
    setpgid: 154,
    setpriority: 140,
    ioprio_set: 30,
    personality: 92,
    setrlimit: 164,
    prlimit64: 261,
    ptrace: 117,
    execve: 221,
  },
} as const;
type CallName = keyof (typeof CALLS)["x64"];

const TABLE: readonly (readonly [CallName, readonly bigint[], string])[] = [
  ["read", [], "allow"],
  ["execve", [], "allow"],
  ["ptrace", [], "allow"],
  ["clone", [17n], "allow"],
  ["clone", [0x3d0f00n], "allow"],
  ["clone", [0x10000000n + 17n], "errno 1"],
  ["clone", [0x20000n], "errno 1"],
  ["clone", [0x40000000n], "errno 1"],
  ["clone", [0x7f0000000000n + 17n], "allow"],
  ["unshare", [0x200n], "allow"],
  ["unshare", [0x80n], "errno 1"],
  ["unshare", [0x10000000n], "errno 1"],
  ["unshare", [0x2000000n], "errno 1"],
  ["socket", [1n, 1n, 0n], "allow"],
  ["socket", [1n, 0x80005n, 0n], "allow"],
  ["socket", [2n, 0x80801n, 6n], "allow"],
  ["socket", [10n, 2n, 17n], "allow"],
  ["socket", [2n, 3n, 255n], "errno 1"],
  ["socket", [2n, 10n, 0n], "errno 1"],
  ["socket", [10n, 0x80003n, 0n], "errno 1"],
  ["socket", [2n, 1n, 132n], "errno 93"],
  ["socket", [2n, 1n, 262n], "errno 93"],
  ["socket", [16n, 3n, 0n], "allow"],
  ["socket", [16n, 3n, 12n], "errno 93"],
  ["socket", [17n, 3n, 768n], "errno 97"],
  ["socket", [40n, 1n, 0n], "errno 97"],
  ["socket", [38n, 5n, 0n], "errno 97"],
  ["socket", [31n, 3n, 1n], "errno 97"],
  // The kernel reads an int: bits above are not part of the family.
  ["socket", [0x100000028n, 1n, 0n], "errno 97"],
  ["socketpair", [1n, 1n, 0n], "allow"],
  ["socketpair", [30n, 1n, 0n], "errno 97"],
  ["ioctl", [0n, 0x5413n], "allow"],
  ["ioctl", [0n, 0x5412n], "errno 1"],
  ["ioctl", [0n, 0x541cn], "errno 1"],
  ["ioctl", [0n, 0xffffffff00005412n], "errno 1"],
  ["ioctl", [0n, 0x540cn], "errno 1"],
  ["ioctl", [0n, 0x540an, 0n], "errno 1"],
  ["ioctl", [0n, 0x5452n], "errno 1"],
  ["ioctl", [0n, 0x8901n], "errno 1"],
  ["ioctl", [0n, 0x8902n], "errno 1"],
  // F_SETFL with and without O_ASYNC, F_SETOWN, F_SETSIG, F_SETOWN_EX; F_DUPFD_CLOEXEC, F_GETFL, F_SETPIPE_SZ.
  ["fcntl", [0n, 4n, 0x800n], "allow"],
  ["fcntl", [0n, 4n, 0xdfffn], "allow"],
  ["fcntl", [0n, 4n, 0x2000n], "errno 1"],
  ["fcntl", [0n, 4n, 0x2802n], "errno 1"],
  ["fcntl", [0n, 4n, 0xffffffff00002000n], "errno 1"],
  ["fcntl", [0n, 0x100000004n, 0x2000n], "errno 1"],
  ["fcntl", [0n, 8n, 1n], "errno 1"],
  ["fcntl", [0n, 10n, 9n], "errno 1"],
  ["fcntl", [0n, 0x10000000an, 9n], "errno 1"],
  ["fcntl", [0n, 15n, 0n], "errno 1"],
  ["fcntl", [0n, 1030n, 0x2000n], "allow"],
  ["fcntl", [0n, 3n], "allow"],
  ["fcntl", [0n, 1031n, 0x2000n], "allow"],
  ["personality", [0xffffffffn], "allow"],
  ["personality", [0x40000n], "allow"],
  ["personality", [0x400000n], "errno 1"],
  ["setrlimit", [4n, 1n], "errno 0"],
  ["setrlimit", [7n, 1n], "allow"],
  ["prlimit64", [0n, 4n, 0n, 1n], "allow"],
  ["prlimit64", [0n, 4n, 0x7ffd0010n, 0n], "errno 0"],
  ["prlimit64", [0n, 4n, 0x7f0000000000n, 0n], "errno 0"],
  ["prlimit64", [0n, 7n, 0x7ffd0010n, 0n], "allow"],
];

describe.each(["x64", "arm64"] as const)("the filter for %s", (arch) => {
  it.each(TABLE)("%s(%s) is answered with %s", (name, args, expected) => {
    expect(verdict({ nr: CALLS[arch][name], args }, arch)).toBe(expected);
  });

  it.each(REFUSED_CALLS)("$name is refused", (call) => {
    const nr = call.numbers[arch];
    if (nr === undefined) return;
    expect(verdict({ nr }, arch)).toBe(call.errno === "ENOSYS" ? "errno 38" : "errno 1");
    expect(
      verdict({ nr, args: [1n, 2n, 3n, 4n, 5n, 6n] }, arch, { allowsUserNamespaces: true }),
    ).not.toBe("allow");
    expect(call.reason).not.toBe("");
  });

  it("lets nested user namespaces through where the plan wants them, and no other kind", () => {
    const { clone, unshare } = CALLS[arch];
    expect(verdict({ nr: clone, args: [0x10000011n] }, arch, { allowsUserNamespaces: true })).toBe(
      "allow",
    );
    expect(
      verdict({ nr: unshare, args: [0x10000000n] }, arch, { allowsUserNamespaces: true }),
    ).toBe("allow");
    expect(
      verdict({ nr: unshare, args: [0x10020000n] }, arch, { allowsUserNamespaces: true }),
    ).toBe("errno 1");
    expect(verdict({ nr: clone, args: [0x40000011n] }, arch, { allowsUserNamespaces: true })).toBe(
      "errno 1",
    );
  });

  it("signals no process group that is not the guest's own", () => {
    const kill = arch === "x64" ? 62 : 129;
    const shared = { sharesProcessGroup: true };
    expect(verdict({ nr: kill, args: [0n, 10n] }, arch, shared)).toBe("errno 1");
    expect(verdict({ nr: kill, args: [0x100000000n, 10n] }, arch, shared)).toBe("errno 1");
    expect(verdict({ nr: kill, args: [7n, 10n] }, arch, shared)).toBe("allow");
    expect(verdict({ nr: kill, args: [-7n, 10n] }, arch, shared)).toBe("allow");
    expect(verdict({ nr: kill, args: [0n, 10n] }, arch)).toBe("allow");
  });

  it("leaves the operator's process group its foreground and its priority", () => {
    const { ioctl, setpgid, setpriority, ioprio_set: ioprioSet } = CALLS[arch];
    const table: readonly (readonly [number, readonly bigint[], string])[] = [
      [ioctl, [0n, 0x540fn], "errno 25"],
      [ioctl, [0n, 0x5410n], "errno 25"],
      [ioctl, [0n, 0x700005410n], "errno 25"],
      [ioctl, [0n, 0x5412n], "errno 1"],
      [setpgid, [0n, 7n], "errno 1"],
      [setpriority, [1n, 0n, 19n], "errno 1"],
      [ioprioSet, [2n, 0n, 0x6000n], "errno 1"],
    ];
    for (const [nr, args, expected] of table) {
      expect(verdict({ nr, args }, arch, { sharesProcessGroup: true })).toBe(expected);
      if (args[1] !== 0x5412n) expect(verdict({ nr, args }, arch)).toBe("allow");
    }
    for (const [nr, args] of [
      [ioctl, [0n, 0x5413n]],
      [setpgid, [0n, 0n]],
      [setpgid, [7n, 7n]],
      [setpriority, [0n, 0n, 19n]],
      [ioprioSet, [1n, 0n, 0x6000n]],
    ] as const)
      expect(verdict({ nr, args }, arch, { sharesProcessGroup: true })).toBe("allow");
  });

  it("bounds System V segments where memory is only watched", () => {
    const shmget = arch === "x64" ? 29 : 194;
    const watched = { boundsSharedMemory: true };
    expect(verdict({ nr: shmget, args: [0n, 56n, 0o1600n] }, arch, watched)).toBe("allow");
    expect(verdict({ nr: shmget, args: [0n, 0x10000n, 0n] }, arch, watched)).toBe("errno 12");
    expect(verdict({ nr: shmget, args: [0n, 0x100000000n, 0n] }, arch, watched)).toBe("errno 12");
    expect(verdict({ nr: shmget, args: [0n, 0x10000n, 0n] }, arch)).toBe("allow");
  });

  it("kills calls of every other ABI", () => {
    for (const other of [0x40000003, 0x40000028, 0xc000003e, 0xc00000b7, 0xc0000015, 0]) {
      if (other === AUDIT_ARCH[arch]) continue;
      expect(verdict({ nr: CALLS[arch].read, arch: other }, arch)).toBe("kill");
    }
  });

  it("fits the kernel's bound and has no refused number twice", () => {
    const filter = renderSeccompFilter(arch, PLAIN);
    expect(filter.length / 8).toBeLessThan(MAX_FILTER_INSTRUCTIONS);
    const numbers = REFUSED_CALLS.map((call) => call.numbers[arch]).filter(
      (nr) => nr !== undefined,
    );
    expect(new Set(numbers).size).toBe(numbers.length);
  });
});

describe("the filter for x64", () => {
  it("kills x32 calls and leaves calls that a tracer skipped alone", () => {
    expect(verdict({ nr: 0x40000000 })).toBe("kill");
    expect(verdict({ nr: 0x40000000 + 520 })).toBe("kill");
    expect(verdict({ nr: 0xfffffffe })).toBe("kill");
    expect(verdict({ nr: 0xffffffff })).toBe("errno 38");
  });
});

describe("parseSeccompArch", () => {
  it("knows two processors", () => {
    expect(parseSeccompArch("x64")).toBe("x64");
    expect(parseSeccompArch("arm64")).toBe("arm64");
    expect(parseSeccompArch("riscv64")).toBeUndefined();
  });
});
