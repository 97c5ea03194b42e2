/** Whether a descriptor is a terminal. Node's tty brings streams and sockets with it, so it is asked only about devices. */
import { fstatSync, statSync } from "node:fs";
import { systemCode } from "../base/errors.ts";

/** False for what is closed, too. */
export function isTerminal(fd: number): boolean {
  return isDevice(fd) && process.getBuiltinModule("node:tty").isatty(fd);
}

function isDevice(fd: number): boolean {
  try {
    const info = fstatSync(fd);
    return info.isCharacterDevice() && info.rdev !== statSync("/dev/null").rdev;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}
