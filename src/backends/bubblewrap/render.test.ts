import { describe, expect, it } from "vitest";
import { parseBottleId, parseGuestPath, parseHostPath } from "../../base/ids.ts";
import type { GuestPlan } from "../contract.ts";
import { findMountFaults, type HostLayout, renderBubblewrap, renderLauncher } from "./render.ts";

const host = parseHostPath;
const guest = parseGuestPath;

const PLAN: GuestPlan = {
  id: parseBottleId("web-a1b2c"),
  hostname: "web-a1b2c",
  homeDir: host("/h/state/web-a1b2c/home"),
  workspaceDir: host("/h/state/web-a1b2c/workspace"),
  etcDir: host("/h/state/web-a1b2c/etc"),
  doorsDir: host("/h/run/0badcafe/doors"),
  logsDir: host("/h/state/web-a1b2c/logs"),
  guestHome: guest("/home/node"),
  guestWorkspace: guest("/home/node/workspace"),
  guestDoors: guest("/run/bot-bottle/doors"),
  doors: [{ name: "proxy", port: 9099, hostname: "egress" }],
  mounts: [
    { hostPath: host("/h/ref/sub"), guestPath: guest("/ref/sub") },
    { hostPath: host("/h/ref"), guestPath: guest("/ref") },
  ],
  limits: { memoryBytes: 1 << 30, processes: 512, cpus: 2, tmpfsBytes: 1 << 26 },
  hostUid: undefined,
  nodePath: host("/h/node/bin/node"),
  guestInitPath: host("/h/dist/guest-init.js"),
  allowsUserNamespaces: false,
  attachment: "sockets",
  image: undefined,
  runtime: undefined,
  network: undefined,
  cacheDir: host("/h/cache"),
  terminal: "shared",
};

const LAYOUT: HostLayout = {
  bwrap: host("/usr/bin/bwrap"),
  setpriv: host("/usr/bin/setpriv"),
  prlimit: host("/usr/bin/prlimit"),
  coreLimitArgs: ["--core=1:1"],
  hardProcesses: undefined,
  rootEntries: [
    { name: "bin", linkTarget: "usr/bin" },
    { name: "lib64", linkTarget: undefined },
  ],
  etcEntries: ["alternatives"],
  maskedProc: [
    { name: "keys", isDirectory: false },
    { name: "pressure", isDirectory: true },
  ],
  stagingDir: host("/mnt"),
  canDisableUserns: true,
};

/** One option with its values a line, for reading. */
const lines = (args: readonly string[]): string[] =>
  args.reduce<string[]>((all, arg) => {
    if (arg.startsWith("--") || all.length === 0) return [...all, arg];
    return [...all.slice(0, -1), `${all.at(-1)} ${arg}`];
  }, []);

describe("renderBubblewrap as an ordinary user", () => {
  const { argv, args } = renderBubblewrap(PLAN, LAYOUT);

  it("makes the guest of exactly these parts", () => {
    expect(lines(args)).toEqual([
      "--unshare-all",
      "--unshare-user",
      "--die-with-parent",
      "--disable-userns",
      "--uid 1000",
      "--gid 1000",
      "--hostname web-a1b2c",
      "--ro-bind /usr /usr",
      "--symlink usr/bin /bin",
      "--ro-bind /lib64 /lib64",
      "--proc /proc",
      "--ro-bind /proc/sys /proc/sys",
      "--ro-bind /dev/null /proc/keys",
      "--perms 0555",
      "--size 4096",
      "--tmpfs /proc/pressure",
      "--remount-ro /proc/pressure",
      "--dev /dev",
      "--perms 1777",
      "--size 67108864",
      "--tmpfs /dev/shm",
      "--perms 1777",
      "--size 67108864",
      "--tmpfs /tmp",
      "--perms 0755",
      "--size 67108864",
      "--tmpfs /run",
      "--dir /var",
      "--symlink /tmp /var/tmp",
      "--symlink /run /var/run",
      "--ro-bind /h/state/web-a1b2c/etc /etc",
      "--ro-bind /etc/alternatives /etc/alternatives",
      "--bind /h/state/web-a1b2c/home /home/node",
      "--bind /h/state/web-a1b2c/workspace /home/node/workspace",
      "--ro-bind /h/ref /ref",
      "--ro-bind /h/ref/sub /ref/sub",
      "--ro-bind /h/run/0badcafe/doors /run/bot-bottle/doors",
      "--ro-bind /h/node/bin/node /opt/bot-bottle/bin/node",
      "--ro-bind /h/dist/guest-init.js /opt/bot-bottle/guest-init.js",
      "--remount-ro /dev",
      "--remount-ro /",
      "--clearenv",
      "--cap-drop ALL",
      "--chdir /home/node",
    ]);
  });

  it("shows nothing of the host on the command line that the guest can read", () => {
    expect(argv).toEqual([
      ...["/usr/bin/prlimit", "--core=1:1", "--rtprio=0:0", "--"],
      "/usr/bin/bwrap",
      ...["--args", "3", "--seccomp", "4", "--info-fd", "5", "--"],
      ...["/bin/sh", "-c", 'exec "$@" 2>&6 6>&-', "sh"],
      ...["/usr/bin/prlimit", "--nproc=512:512", "--"],
      ...[
        "/opt/bot-bottle/bin/node",
        "/opt/bot-bottle/guest-init.js",
        "/run/bot-bottle/doors/init.sock",
      ],
    ]);
  });

  it("follows the plan's choices", () => {
    const separate = renderBubblewrap({ ...PLAN, terminal: "separate" }, LAYOUT).args;
    expect(separate).toContain("--new-session");
    expect(args).not.toContain("--new-session");
    const nested = renderBubblewrap({ ...PLAN, allowsUserNamespaces: true }, LAYOUT).args;
    expect(nested).not.toContain("--disable-userns");
    const bare = renderBubblewrap(
      {
        ...PLAN,
        workspaceDir: undefined,
        guestWorkspace: undefined,
        limits: { ...PLAN.limits, processes: undefined },
      },
      LAYOUT,
    );
    expect(bare.args).not.toContain("/home/node/workspace");
    expect(bare.argv.join(" ")).not.toContain("nproc");
    const long = renderBubblewrap({ ...PLAN, hostname: "a".repeat(72) }, LAYOUT).args;
    expect(long).toContain("a".repeat(63));
  });
});

describe("renderBubblewrap as root", () => {
  const { argv, args } = renderBubblewrap({ ...PLAN, hostUid: 70001 }, LAYOUT);

  it("makes the sources reachable, then takes the guest's uid, then makes the guest", () => {
    const end = argv.lastIndexOf("/usr/bin/bwrap");
    expect(argv.slice(0, end)).toEqual([
      ...["/usr/bin/prlimit", "--core=1:1", "--rtprio=0:0", "--"],
      "/usr/bin/bwrap",
      ...["--die-with-parent", "--dev-bind", "/", "/", "--tmpfs", "/mnt"],
      ...["--bind", "/h/state/web-a1b2c/home", "/mnt/0"],
      ...["--bind", "/h/state/web-a1b2c/workspace", "/mnt/1"],
      ...["--ro-bind", "/h/state/web-a1b2c/etc", "/mnt/2"],
      ...["--ro-bind", "/h/run/0badcafe/doors", "/mnt/3"],
      ...["--ro-bind", "/h/node/bin/node", "/mnt/4"],
      ...["--ro-bind", "/h/dist/guest-init.js", "/mnt/5"],
      ...["--ro-bind", "/h/ref/sub", "/mnt/6"],
      ...["--ro-bind", "/h/ref", "/mnt/7"],
      ...["--chdir", "/", "--"],
      ...["/bin/sh", "-c", '"$@"; exit $?', "sh"],
      "/usr/bin/setpriv",
      ...["--reuid", "70001", "--regid", "70001", "--clear-groups", "--no-new-privs"],
      ...["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"],
      ...["--pdeathsig", "KILL", "--"],
    ]);
  });

  it("finds every source at its staged path", () => {
    expect(lines(args)).toContain("--bind /mnt/0 /home/node");
    expect(lines(args)).toContain("--ro-bind /mnt/7 /ref");
    expect(args.filter((arg) => arg.startsWith("/h/"))).toEqual([]);
  });
});

describe("findMountFaults", () => {
  const faults = (path: string): number =>
    findMountFaults({ ...PLAN, mounts: [{ hostPath: host("/h"), guestPath: guest(path) }] }).length;

  it.each([
    "/ref",
    "/home/node/ref",
    "/home/node/workspace/ref",
    "/usr/local/share/x",
    "/run/x",
    "/opt/tool",
    "/home/other",
  ])("%s can be given", (path) => expect(faults(path)).toBe(0));

  it.each([
    ...[
      "/",
      "//",
      "/proc",
      "/proc/sys",
      "/sys",
      "/dev",
      "/dev/shm",
      "/etc",
      "/etc/passwd",
      "/etc/",
      "//etc",
    ],
    ...[
      "/opt",
      "/opt/bot-bottle",
      "/opt/bot-bottle/bin",
      "/run",
      "/run/bot-bottle",
      "/run/bot-bottle/doors/x",
    ],
    ...["/usr", "/tmp", "/home", "/home/node", "/home/node/workspace", "/home/node/workspace/"],
  ])("%s cannot", (path) => expect(faults(path)).toBe(1));
});

describe("renderLauncher", () => {
  it("puts the constant shell step in front and empties the environment", () => {
    const command = renderLauncher(["/usr/bin/bwrap", "--"], {
      cgroups: ["/cg/a b"],
      prefix: ["/usr/bin/systemd-run", "--"],
    });
    expect(command.slice(0, 2)).toEqual(["/bin/sh", "-c"]);
    expect(command.slice(3)).toEqual([
      ...[
        "sh",
        "1",
        "/cg/a b",
        "/usr/bin/systemd-run",
        "--",
        "/usr/bin/env",
        "-i",
        "/usr/bin/bwrap",
        "--",
      ],
    ]);
  });
});
