/**
 * The shell script with which a machine's workload begins, as root of the guest: it lays our few files of /etc over the
 * image's, finds Node, gives up every right and becomes guest-init. Links lead into a read-only share, so that files written
 * later are seen. Data only.
 */

/** Where the guest sees our Node and its part of /etc. */
export const GUEST_KIT = "/run/bot-bottle/kit";
export const GUEST_ETC = "/run/bot-bottle/etc";
/** Our guest-init, beside its part of /etc: each share is a device, and older machines have few. */
export const GUEST_INIT_NAME = "bot-bottle/guest-init.js";
const GUEST_INIT: string = `${GUEST_ETC}/${GUEST_INIT_NAME}`;
/** Beside the guest's own programs: guest-init's threads and the shell around it. */
export const OWN_TASKS = 24;
/** Exit statuses by which the script says what is missing; sysexits has none of them. */
export const START_EXIT = { noNode: 91, noLimit: 92 } as const;

/** What of /etc is ours, by directory; the rest is the image's. */
const ETC_FILES = [
  { directory: "/etc", names: ["hosts", "resolv.conf", "nsswitch.conf", "gitconfig"] },
  { directory: "/etc/ssl", names: ["bot-bottle-ca.pem"] },
  { directory: "/etc/ssl/certs", names: ["ca-certificates.crt"] },
] as const;

/** As few programs as can be: each costs what starting one costs in a machine that has just booted. */
const LINK_ETC = [
  `mkdir -p ${ETC_FILES.map(({ directory }) => directory).join(" ")}`,
  `rm -f ${ETC_FILES.flatMap(({ directory, names }) => names.map((name) => `${directory}/${name}`)).join(" ")}`,
  ...ETC_FILES.map(({ directory, names }) => {
    const source = directory.replace("/etc", GUEST_ETC);
    return `ln -s ${names.map((name) => `${source}/${name}`).join(" ")} ${directory}/`;
  }),
];

/** Gives up every right: `$setpriv` where the image has util-linux, else Node does what it can. `$uid $gid` are set. */
const BECOME = [
  "if setpriv --reuid 0 --regid 0 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs true 2>/dev/null; then",
  '  set -- setpriv --reuid "$uid" --regid "$gid" --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs "$@"',
];

const LIMIT = [
  'if [ -n "$processes" ]; then',
  '  prlimit --pid "$$" --nproc="$processes:$processes" 2>/dev/null || ulimit -u "$processes" 2>/dev/null ||',
  `    ulimit -p "$processes" 2>/dev/null || { echo "guest: the limit on processes cannot be set" >&2; exit ${START_EXIT.noLimit}; }`,
  "fi",
];

const ARGUMENTS = ["set -eu", "uid=$1 gid=$2 processes=$3; shift 3", "umask 022"];

/**
 * `sh -c START_SCRIPT guest-init UID GID PROCESSES END SOCKET`; PROCESSES may be empty. END is `self` where smolvm ends a machine
 * whose workload has ended, else `off`: then the script switches the machine off.
 */
export const START_SCRIPT: string = [
  ...ARGUMENTS,
  "end=$1 socket=$2",
  ...LINK_ETC,
  "account() {",
  '  printf "%s\\n" "$2" >"$1.new"',
  '  while IFS= read -r old || [ -n "$old" ]; do',
  '    case $old in node:*) ;; *) printf "%s\\n" "$old" ;; esac',
  '  done <"$1" >>"$1.new"',
  '  cat "$1.new" >"$1"; rm -f "$1.new"',
  "}",
  "shell=/bin/sh; if [ -x /bin/bash ]; then shell=/bin/bash; fi",
  'account /etc/passwd "node:x:$uid:$gid:node:/home/node:$shell"',
  'account /etc/group "node:x:$gid:"',
  "node=",
  `for found in "$(command -v node || true)" ${GUEST_KIT}/node; do`,
  // Asked for its version only, it does not start its engine.
  '  case $("$found" --version 2>/dev/null) in v2[0-9].* | v[3-9][0-9].*) node=$found; break ;; esac',
  "done",
  `if [ -z "$node" ]; then echo "guest: the image has no Node.js 20 or later, and ours does not run in it" >&2; exit ${START_EXIT.noNode}; fi`,
  ...LIMIT,
  `set -- env -i PATH=/usr/local/bin:/usr/bin:/bin "$node" ${GUEST_INIT} "$socket"`,
  ...BECOME,
  "else",
  `  set -- env -i PATH=/usr/local/bin:/usr/bin:/bin "$node" -e "process.setgroups([]);process.setgid($gid);process.setuid($uid);require(\\"${GUEST_INIT}\\")" guest-init.js "$socket"`,
  "fi",
  'if [ "$end" = self ]; then exec "$@"; fi',
  '"$@" || true',
  "sync; echo o >/proc/sysrq-trigger",
].join("\n");

/** `sh -c SESSION_SCRIPT sh UID GID PROCESSES PIDFILE CWD argv…`: a program on a terminal, with the rights that guest-init's have. */
export const SESSION_SCRIPT: string = [
  ...ARGUMENTS,
  "pidfile=$1 cwd=$2; shift 2",
  'echo "$$" >"$pidfile"',
  'cd "$cwd"',
  ...LIMIT,
  ...BECOME,
  "fi",
  'exec "$@"',
].join("\n");
