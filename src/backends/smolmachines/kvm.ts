/** Whether the uid that a machine runs as may open /dev/kvm, found out by looking. */
import { accessSync, constants, type Stats, statSync } from "node:fs";
import { systemCode } from "../../base/errors.ts";

const DEVICE = "/dev/kvm";
const GROUP_READ_WRITE = 0o060;
const OTHERS_READ_WRITE = 0o006;

/** What was found; `gid` is the group by which a uid of root's choosing can open the device, when one is needed. */
export type KvmAccess =
  | { readonly kind: "open"; readonly gid: number | undefined }
  | { readonly kind: "closed"; readonly reason: string; readonly hint: string };

/** A look at the device. */
export type LookAtKvm = (isRoot: boolean) => KvmAccess;

/** Looks at the device for an ordinary user, or for a uid that root drops to. */
export function probeKvm(isRoot: boolean): KvmAccess {
  const info = statOf(DEVICE);
  if (info?.isCharacterDevice() !== true) {
    return {
      kind: "closed",
      reason: `this machine offers no KVM: there is no ${DEVICE}`,
      hint: "load kvm-intel or kvm-amd and check that the firmware allows virtualization",
    };
  }
  if ((info.mode & OTHERS_READ_WRITE) === OTHERS_READ_WRITE)
    return { kind: "open", gid: undefined };
  return isRoot ? judgeForDrop(info) : judgeForUser(info);
}

/** A machine never runs as root, so that root's own right to the device helps it nothing. */
function judgeForDrop(info: Stats): KvmAccess {
  if (info.gid !== 0 && (info.mode & GROUP_READ_WRITE) === GROUP_READ_WRITE)
    return { kind: "open", gid: info.gid };
  return {
    kind: "closed",
    reason: `${DEVICE} is open to root only (mode ${modeOf(info)}), and a machine never runs as root`,
    hint: `open it to its group: chgrp kvm ${DEVICE} && chmod 660 ${DEVICE}`,
  };
}

function judgeForUser(info: Stats): KvmAccess {
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK);
    return { kind: "open", gid: undefined };
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return {
      kind: "closed",
      reason: `${DEVICE} may not be opened by you (mode ${modeOf(info)}, group ${info.gid})`,
      hint: "give your user the device: sudo usermod -aG kvm $USER, then log in again",
    };
  }
}

const modeOf = (info: Stats): string => (info.mode & 0o777).toString(8).padStart(4, "0");

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
