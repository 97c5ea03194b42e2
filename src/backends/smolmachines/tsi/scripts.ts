/** Shell scripts that run in the machine as its root. Data only. */
import { SESSION_SCRIPT, START_SCRIPT } from "../start-script.ts";

/** In the guest: what guest-init says first, readable by its user alone. */
export const TOKEN_FILE = "/run/bot-bottle/init/token";

/**
 * `sh -c REPAIR_SCRIPT repair UID GID HOME`: a pack gives every file to the uid that packed it, and may leave out what is empty.
 * One script, because a second exec right after the start may be killed.
 */
export const REPAIR_SCRIPT: string = [
  "set -eu",
  "mkdir -p /tmp /var/tmp",
  "chown 0:0 /tmp /var/tmp",
  "chmod 1777 /tmp /var/tmp",
  'mkdir -p "$3"',
  '[ "$(stat -c %u "$3")" = "$1" ] || chown -R "$1:$2" "$3"',
].join("\n");

/** Sources the file `$1`, which is gone before anything else happens. */
const SOURCE = [
  "set -eu",
  "file=$1; shift",
  'chmod 600 "$file"',
  'set -a; . "$file"; set +a',
  'rm -f "$file"',
];

/** `sh -c GUEST_INIT_SCRIPT guest-init FILE UID GID PROCESSES END DOOR`: the file holds the token; the rest is the start script's. */
export const GUEST_INIT_SCRIPT: string = [
  ...SOURCE,
  "mkdir -p /run/bot-bottle; chmod 0755 /run/bot-bottle",
  "mkdir -p -m 0700 /run/bot-bottle/init",
  `(umask 077; printf "%s" "$BOT_BOTTLE_INIT_TOKEN" >${TOKEN_FILE})`,
  "unset BOT_BOTTLE_INIT_TOKEN",
  'chown -R "$1:$2" /run/bot-bottle/init',
  START_SCRIPT,
].join("\n");

/** `sh -c TERMINAL_SCRIPT sh FILE UID GID PROCESSES PIDFILE CWD argv…`: a program on a terminal with the variables of the file. */
export const TERMINAL_SCRIPT: string = [...SOURCE, SESSION_SCRIPT].join("\n");

/** `sh -c RESIZE_SCRIPT sh ROWS COLUMNS`: the size of every terminal of the machine. */
export const RESIZE_SCRIPT =
  'for tty in /dev/pts/[0-9]*; do [ -c "$tty" ] && stty -F "$tty" rows "$1" cols "$2" || true; done';
