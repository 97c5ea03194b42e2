/**
 * The guest's system-call filter, in the form that the engine takes. It replaces the engine's own, which differs from release to
 * release and on older ones lets a guest speak to the hypervisor over vsock, which no network namespace holds back. What is not
 * named is refused.
 */

/** Calls that are allowed whatever their arguments are, by what they are for. */
const ALLOWED: Readonly<Record<string, string>> = {
  files: `
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fallocate fchdir fchmod fchmodat fchown fchownat fcntl fdatasync fgetxattr flistxattr flock
    fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr
    llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open openat openat2
    pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
    removexattr rename renameat renameat2 rmdir sendfile setxattr splice stat statfs statx symlink symlinkat
    sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes vmsplice write
    writev
  `,
  memory: `
    brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mprotect mremap msync
    munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise process_mrelease
    remap_file_pages shmat shmctl shmdt shmget
  `,
  processes: `
    arch_prctl capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getegid
    geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit
    getrusage getsid gettid getuid ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self pidfd_getfd pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv
    process_vm_writev ptrace restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list set_thread_area
    set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority setregid setresgid setresuid
    setreuid setrlimit setsid setuid sigaltstack signalfd signalfd4 tgkill tkill vfork wait4 waitid
  `,
  waiting: `
    alarm clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_pwait
    epoll_pwait2 epoll_wait eventfd eventfd2 futex futex_waitv getitimer gettimeofday nanosleep pause poll
    ppoll pselect6 select setitimer time timer_create timer_delete timer_getoverrun timer_gettime
    timer_settime timerfd_create timerfd_gettime timerfd_settime times
  `,
  speaking: `
    accept accept4 bind connect getpeername getsockname getsockopt io_cancel io_destroy io_getevents
    io_pgetevents io_setup io_submit listen mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend
    mq_unlink msgctl msgget msgrcv msgsnd recvfrom recvmmsg recvmsg semctl semget semop semtimedop sendmmsg
    sendmsg sendto setsockopt shutdown
  `,
  machine: `
    getcpu getrandom sysinfo uname
  `,
};

const EPERM = 1;
const ENOSYS = 38;
/** Families that reach the bottle's own namespace only: unix, IPv4, IPv6. */
const FAMILIES = { unix: 1, internet: [2, 10], netlink: 16 } as const;
/** Type and protocol of TCP and UDP, which are also what 0 stands for; the other protocols are more of the kernel than a program needs. */
const TRANSPORTS = [
  [1, 0],
  [1, 6],
  [2, 0],
  [2, 17],
] as const;
/** The bits of a type that are no flags. */
const TYPE_BITS = 0xf;
const NETLINK_ROUTE = 0;
/** All CLONE_NEW* that clone takes. */
const NEW_NAMESPACES = 0x7e02_0000;
/** Personalities of ordinary programs, of 32-bit ones, with fixed addresses off and on; and the question which it is. */
const PERSONALITIES = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff] as const;

interface Condition {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: "SCMP_CMP_EQ" | "SCMP_CMP_MASKED_EQ";
}

interface Rule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  readonly args?: readonly Condition[];
  readonly errnoRet?: number;
}

const is = (index: number, value: number): Condition => ({ index, value, op: "SCMP_CMP_EQ" });

const isType = (type: number): Condition => ({
  ...{ index: 1, value: TYPE_BITS, valueTwo: type, op: "SCMP_CMP_MASKED_EQ" },
});

function allow(name: string, ...args: readonly Condition[]): Rule {
  return { names: [name], action: "SCMP_ACT_ALLOW", args };
}

/** The filter as JSON text. Other ABIs of the same machine are not in it: their calls end the program. Pure. */
export function renderSeccompProfile(): string {
  const names = Object.values(ALLOWED).flatMap((text) => text.trim().split(/\s+/));
  const syscalls: readonly Rule[] = [
    { names, action: "SCMP_ACT_ALLOW" },
    allow("socket", is(0, FAMILIES.unix)),
    ...FAMILIES.internet.flatMap((family) =>
      TRANSPORTS.map(([type, protocol]) =>
        allow("socket", is(0, family), isType(type), is(2, protocol)),
      ),
    ),
    allow("socket", is(0, FAMILIES.netlink), is(2, NETLINK_ROUTE)),
    allow("socketpair", is(0, FAMILIES.unix)),
    // The masked bits must be none.
    allow("clone", { index: 0, value: NEW_NAMESPACES, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }),
    // Its flags lie in memory, where no filter sees them; programs fall back to clone.
    { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
    ...PERSONALITIES.map((value) => allow("personality", is(0, value))),
  ];
  return JSON.stringify({
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    archMap: [
      { architecture: "SCMP_ARCH_X86_64", subArchitectures: [] },
      { architecture: "SCMP_ARCH_AARCH64", subArchitectures: [] },
    ],
    syscalls,
  });
}
