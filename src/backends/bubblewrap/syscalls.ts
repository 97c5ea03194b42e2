/**
 * What the guest's system-call filter refuses, as data with a reason each. Everything not named here is allowed: the
 * namespaces are the boundary, this list shortens the kernel that a hostile guest can talk to.
 */

/** Processors that the filter is made for. */
export type SeccompArch = "x64" | "arm64";

/** Numbers of one call; undefined where the processor has no such call. */
export interface SyscallNumbers {
  readonly x64: number | undefined;
  readonly arm64: number | undefined;
}

/** Errors that the filter answers with; 0 says "done" without doing anything. */
export const ERRNO = {
  pretendDone: 0,
  EPERM: 1,
  ENOMEM: 12,
  ENOTTY: 25,
  ENOSYS: 38,
  EPROTONOSUPPORT: 93,
  EAFNOSUPPORT: 97,
} as const;
export type ErrnoName = keyof typeof ERRNO;

/** A call that is refused whatever its arguments are. */
export interface RefusedCall {
  readonly name: string;
  readonly numbers: SyscallNumbers;
  readonly errno: ErrnoName;
  readonly reason: string;
}

/** One condition on an argument: the masked 32-bit word is (or is not) one of `values`. */
export interface ArgumentTest {
  readonly argument: 0 | 1 | 2 | 3 | 4 | 5;
  /** Half of the 64-bit argument; the kernel looks only at the low one of an `int`. */
  readonly word: "low" | "high";
  readonly mask: number;
  readonly values: readonly number[];
  readonly isMember: boolean;
}

/** Clauses are tried in order; the first whose tests all hold answers, none means allowed. */
export interface JudgedCall {
  readonly name: string;
  readonly numbers: SyscallNumbers;
  readonly clauses: readonly {
    readonly tests: readonly ArgumentTest[];
    readonly errno: ErrnoName;
    readonly reason: string;
  }[];
}

const both = (number: number): SyscallNumbers => ({ x64: number, arm64: number });
const per = (x64: number, arm64: number): SyscallNumbers => ({ x64, arm64 });
const onlyX64 = (x64: number): SyscallNumbers => ({ x64, arm64: undefined });

const refuse = (
  name: string,
  numbers: SyscallNumbers,
  reason: string,
  errno: ErrnoName = "EPERM",
): RefusedCall => ({ name, numbers, errno, reason });

const NAMESPACES =
  "makes or enters namespaces, and with them most kernel code that root normally guards";
const MOUNTS = "changes the mount table, which is what hides the host's files";
const KEYS = "kernel keyrings are shared with the operator's other programs";
const MODULES = "loads code into the kernel";
const CLOCK = "sets the machine's clock";
const URING = "does input and output past this filter, with a long record of kernel flaws";
const MACHINE = "administers the machine";

export const REFUSED_CALLS: readonly RefusedCall[] = [
  refuse(
    "clone3",
    both(435),
    "its flags are in memory, which a filter cannot read; C libraries fall back to clone",
    "ENOSYS",
  ),
  refuse("setns", per(308, 268), NAMESPACES),
  refuse("mount", per(165, 40), MOUNTS),
  refuse("umount2", per(166, 39), MOUNTS),
  refuse("pivot_root", per(155, 41), MOUNTS),
  refuse("chroot", per(161, 51), MOUNTS),
  refuse("open_tree", both(428), MOUNTS),
  refuse("move_mount", both(429), MOUNTS),
  refuse("fsopen", both(430), MOUNTS),
  refuse("fsconfig", both(431), MOUNTS),
  refuse("fsmount", both(432), MOUNTS),
  refuse("fspick", both(433), MOUNTS),
  refuse("mount_setattr", both(442), MOUNTS),
  refuse("open_tree_attr", both(467), MOUNTS),
  refuse("io_uring_setup", both(425), URING, "ENOSYS"),
  refuse("io_uring_enter", both(426), URING, "ENOSYS"),
  refuse("io_uring_register", both(427), URING, "ENOSYS"),
  refuse("add_key", per(248, 217), KEYS),
  refuse("request_key", per(249, 218), KEYS),
  refuse("keyctl", per(250, 219), KEYS),
  refuse("bpf", per(321, 280), "loads programs into the kernel"),
  refuse("perf_event_open", per(298, 241), "measures other programs and the kernel"),
  refuse("userfaultfd", per(323, 282), "stops the kernel half-way, which exploits rely on"),
  refuse("fanotify_init", per(300, 262), "watches whole file systems"),
  refuse(
    "open_by_handle_at",
    per(304, 265),
    "opens files of a mounted file system past the mount table",
  ),
  refuse("lookup_dcookie", per(212, 18), "tells host paths"),
  refuse("syslog", per(103, 116), "reads the machine's kernel log"),
  refuse("kexec_load", per(246, 104), MODULES),
  refuse("kexec_file_load", per(320, 294), MODULES),
  refuse("init_module", per(175, 105), MODULES),
  refuse("finit_module", per(313, 273), MODULES),
  refuse("delete_module", per(176, 106), MODULES),
  refuse("settimeofday", per(164, 170), CLOCK),
  refuse("clock_settime", per(227, 112), CLOCK),
  refuse("adjtimex", per(159, 171), CLOCK),
  refuse("clock_adjtime", per(305, 266), CLOCK),
  refuse("acct", per(163, 89), MACHINE),
  refuse("swapon", per(167, 224), MACHINE),
  refuse("swapoff", per(168, 225), MACHINE),
  refuse("reboot", per(169, 142), MACHINE),
  refuse("quotactl", per(179, 60), MACHINE),
  refuse("quotactl_fd", both(443), MACHINE),
  refuse("nfsservctl", per(180, 42), MACHINE),
  refuse("vhangup", per(153, 58), MACHINE),
  refuse("iopl", onlyX64(172), "reaches hardware ports"),
  refuse("ioperm", onlyX64(173), "reaches hardware ports"),
  refuse("modify_ldt", onlyX64(154), "16-bit segments, a source of kernel flaws"),
];

const whole = (argument: ArgumentTest["argument"], values: readonly number[]): ArgumentTest => ({
  argument,
  word: "low",
  mask: 0xffffffff,
  values,
  isMember: true,
});
const not = (test: ArgumentTest): ArgumentTest => ({ ...test, isMember: false });
const masked = (test: ArgumentTest, mask: number): ArgumentTest => ({ ...test, mask });

const CLONE_NEWUSER = 0x10000000;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWPID, NEWNET. */
const CLONE_OTHER_NAMESPACES = 0x6e020000;
/** Only for unshare: in clone these bits hold the exit signal. */
const CLONE_NEWTIME = 0x80;

function judgeNamespaces(allowsUserNamespaces: boolean): readonly JudgedCall[] {
  const flags = allowsUserNamespaces
    ? CLONE_OTHER_NAMESPACES
    : CLONE_OTHER_NAMESPACES + CLONE_NEWUSER;
  const clause = (mask: number): JudgedCall["clauses"][number] => ({
    tests: [masked(not(whole(0, [0])), mask)],
    errno: "EPERM",
    reason: NAMESPACES,
  });
  return [
    { name: "clone", numbers: per(56, 220), clauses: [clause(flags)] },
    { name: "unshare", numbers: per(272, 97), clauses: [clause(flags + CLONE_NEWTIME)] },
  ];
}

const AF_UNIX = 1;
const INTERNET = [2, 10];
const AF_NETLINK = 16;
const SOCK_TYPE_MASK = 0xf;
const STREAM_AND_DATAGRAM = [1, 2];
/** Default, TCP, UDP. */
const INTERNET_PROTOCOLS = [0, 6, 17];
const NETLINK_ROUTE = 0;

const SOCKETS: readonly JudgedCall[] = [
  {
    name: "socket",
    numbers: per(41, 198),
    clauses: [
      {
        tests: [not(whole(0, [AF_UNIX, ...INTERNET, AF_NETLINK]))],
        errno: "EAFNOSUPPORT",
        reason:
          "other families (vsock, packet, bluetooth, alg …) reach past the network namespace or into rarely tested code",
      },
      {
        tests: [whole(0, INTERNET), masked(not(whole(1, STREAM_AND_DATAGRAM)), SOCK_TYPE_MASK)],
        errno: "EPERM",
        reason: "raw sockets forge packets",
      },
      {
        tests: [whole(0, INTERNET), not(whole(2, INTERNET_PROTOCOLS))],
        errno: "EPROTONOSUPPORT",
        reason: "nothing but TCP and UDP is needed on loopback",
      },
      {
        tests: [whole(0, [AF_NETLINK]), not(whole(2, [NETLINK_ROUTE]))],
        errno: "EPROTONOSUPPORT",
        reason:
          "C libraries list interfaces over the route protocol; the others configure the kernel",
      },
    ],
  },
  {
    name: "socketpair",
    numbers: per(53, 199),
    clauses: [
      {
        tests: [not(whole(0, [AF_UNIX]))],
        errno: "EAFNOSUPPORT",
        reason: "only unix pairs are of use",
      },
    ],
  },
];

/** TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD, TIOCEXCL, TCXONC. */
const TERMINAL_REQUESTS = [0x5412, 0x541c, 0x541d, 0x5423, 0x540c, 0x540a];
/** FIOASYNC, FIOSETOWN, SIOCSPGRP. */
const ASYNC_REQUESTS = [0x5452, 0x8901, 0x8902];
/** F_SETOWN, F_SETSIG, F_SETOWN_EX. */
const ASYNC_COMMANDS = [8, 10, 15];
const F_SETFL = 4;
const O_ASYNC = 0x2000;
const ASYNC_REASON =
  "signals on input go from the kernel to the foreground group of a terminal, which holds the operator's own processes";
/** PER_LINUX, PER_LINUX32, UNAME26 with either, ADDR_NO_RANDOMIZE (debuggers), and "only tell". */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0x40000, 0xffffffff];
const RLIMIT_CORE = 4;
const CORE_REASON =
  "a core limit of 1 is the one value that keeps a host's crash handler from being run, as root, on a guest's crash";

const OTHERS: readonly JudgedCall[] = [
  {
    name: "ioctl",
    numbers: per(16, 29),
    clauses: [
      {
        tests: [whole(1, TERMINAL_REQUESTS)],
        errno: "EPERM",
        reason:
          "types into, blocks, or takes over, the terminal that the guest may share with the operator's shell",
      },
      { tests: [whole(1, ASYNC_REQUESTS)], errno: "EPERM", reason: ASYNC_REASON },
    ],
  },
  {
    name: "fcntl",
    numbers: per(72, 25),
    clauses: [
      { tests: [whole(1, ASYNC_COMMANDS)], errno: "EPERM", reason: ASYNC_REASON },
      {
        tests: [whole(1, [F_SETFL]), masked(not(whole(2, [0])), O_ASYNC)],
        errno: "EPERM",
        reason: ASYNC_REASON,
      },
    ],
  },
  {
    name: "personality",
    numbers: per(135, 92),
    clauses: [
      {
        tests: [not(whole(0, PERSONALITIES))],
        errno: "EPERM",
        reason: "weakens memory protection",
      },
    ],
  },
  {
    name: "setrlimit",
    numbers: per(160, 164),
    clauses: [{ tests: [whole(0, [RLIMIT_CORE])], errno: "pretendDone", reason: CORE_REASON }],
  },
  {
    name: "prlimit64",
    numbers: per(302, 261),
    clauses: (["low", "high"] as const).map((word) => ({
      tests: [whole(1, [RLIMIT_CORE]), { ...not(whole(2, [0])), word }],
      errno: "pretendDone" as const,
      reason: CORE_REASON,
    })),
  },
];

/** TIOCGPGRP, TIOCSPGRP. */
const FOREGROUND_REQUESTS = [0x540f, 0x5410];
const PRIO_PGRP = 1;
const IOPRIO_WHO_PGRP = 2;
const GROUP_REASON =
  "a process group reaches across pid namespaces, and this one holds the operator's own processes";

/** For a guest in our own process group. */
const SHARED_GROUP: readonly JudgedCall[] = [
  {
    name: "kill",
    numbers: per(62, 129),
    clauses: [{ tests: [whole(0, [0])], errno: "EPERM", reason: GROUP_REASON }],
  },
  {
    name: "setpriority",
    numbers: per(141, 140),
    clauses: [{ tests: [whole(0, [PRIO_PGRP])], errno: "EPERM", reason: GROUP_REASON }],
  },
  {
    name: "ioprio_set",
    numbers: per(251, 30),
    clauses: [{ tests: [whole(0, [IOPRIO_WHO_PGRP])], errno: "EPERM", reason: GROUP_REASON }],
  },
  {
    name: "setpgid",
    numbers: per(109, 154),
    clauses: [
      {
        tests: [whole(0, [0]), not(whole(1, [0]))],
        errno: "EPERM",
        reason:
          "how a shell without job control would leave the foreground group, and never read from the terminal again",
      },
    ],
  },
  {
    name: "ioctl",
    numbers: per(16, 29),
    clauses: [
      {
        tests: [whole(1, FOREGROUND_REQUESTS)],
        errno: "ENOTTY",
        reason:
          "takes the foreground from the operator's processes; a shell that is not told the group does without job control",
      },
    ],
  },
];

/** A segment of 64 KiB at most: 4096 of them are a quarter of a gibibyte. */
const BOUNDED_SEGMENTS: JudgedCall = {
  name: "shmget",
  numbers: per(29, 194),
  clauses: [
    masked(not(whole(1, [0])), 0xffff0000),
    { ...not(whole(1, [0])), word: "high" as const },
  ].map((test) => ({
    tests: [test],
    errno: "ENOMEM" as const,
    reason: "System V segments that no process has attached are memory that a watchdog cannot see",
  })),
};

/** What of the plan decides the filter. */
export interface FilterOptions {
  /** Nested user namespaces, and no other kind. */
  readonly allowsUserNamespaces: boolean;
  /** The guest's processes are in the process group of our own, for the terminal's sake. */
  readonly sharesProcessGroup: boolean;
  /** Memory is held by looking at it. */
  readonly boundsSharedMemory: boolean;
}

/** Calls that are judged by their arguments. */
export function judgedCalls(options: FilterOptions): readonly JudgedCall[] {
  return joinByName([
    ...judgeNamespaces(options.allowsUserNamespaces),
    ...SOCKETS,
    ...OTHERS,
    ...(options.sharesProcessGroup ? SHARED_GROUP : []),
    ...(options.boundsSharedMemory ? [BOUNDED_SEGMENTS] : []),
  ]);
}

/** The filter answers at the first entry of a call, so a call must have only one. */
function joinByName(calls: readonly JudgedCall[]): readonly JudgedCall[] {
  const joined = new Map<string, JudgedCall>();
  for (const call of calls) {
    const clauses = [...(joined.get(call.name)?.clauses ?? []), ...call.clauses];
    joined.set(call.name, { ...call, clauses });
  }
  return [...joined.values()];
}
