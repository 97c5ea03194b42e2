/** Checks a machine from outside: smolvm's record of it, the filter in it, and the process that it is. Nothing in the guest is asked. */
import { isAlive, type ProcessIdentity } from "../../../process/identity.ts";
import type { MachineStatus } from "../machine-status.ts";
import { parseStatus } from "../machine-status.ts";
import type { Smolvm } from "../smolvm.ts";
import { readConfinement } from "../vmm.ts";
import { type AllowlistRow, findAllowlistFaults } from "./allowlist.ts";
import { nameArgs } from "./require-tsi.ts";

/** What a machine must be. */
export interface ExpectedMachine {
  readonly name: string;
  readonly mounts: number;
  readonly cpus: number;
  readonly memoryMiB: number;
  /** The one entry of its allowlist. */
  readonly cidr: string;
}

/** What is checked. */
export interface TsiInspection {
  readonly smolvm: Smolvm;
  readonly row: AllowlistRow;
  readonly expected: ExpectedMachine;
}

/** Asks smolvm for the machine. Throws HostError or LaunchError. */
export async function readStatus(
  smolvm: Smolvm,
  name: string,
  signal?: AbortSignal,
): Promise<MachineStatus> {
  const argv = ["machine", "status", ...nameArgs(smolvm.features, "status", name), "--json"];
  return parseStatus(await smolvm.command(argv, { what: "machine not inspected", signal }));
}

/** What is wrong with a running machine; empty when nothing. */
export async function inspectTsi(
  inspection: TsiInspection,
  machine: ProcessIdentity,
): Promise<readonly string[]> {
  const { smolvm, row, expected } = inspection;
  const status = await readStatus(smolvm, expected.name);
  return [
    ...findStatusFaults(status, expected, "running"),
    ...(status.pid === machine.pid
      ? []
      : [`the machine is process ${status.pid}, not ${machine.pid}`]),
    ...(await findAllowlistFaults(row, expected.cidr)),
    ...inspectProcess(smolvm, machine),
  ];
}

/** What in a status differs from what was asked for. Pure. */
export function findStatusFaults(
  status: MachineStatus,
  expected: ExpectedMachine,
  state: string,
): readonly string[] {
  const pairs = [
    ["the machine's name", status.name, expected.name],
    ["its network", status.network, true],
    ["the number of its ports", status.ports, 0],
    ["the number of its mounts", status.mounts, expected.mounts],
    ["the number of its processors", status.cpus, expected.cpus],
    ["its memory in MiB", status.memory_mib, expected.memoryMiB],
    ["its state", status.state, state],
  ] as const;
  return pairs
    .filter(([, seen, wanted]) => seen !== wanted)
    .map(([name, seen, wanted]) => `${name} is ${String(seen)}, not ${String(wanted)}`);
}

function inspectProcess({ access }: Smolvm, machine: ProcessIdentity): readonly string[] {
  if (process.platform !== "linux") return [];
  const found = isAlive(machine) ? readConfinement(machine.pid) : undefined;
  if (found === undefined) return ["the machine's process is gone"];
  return [
    ...(found.uid === access.uid
      ? []
      : [`the machine runs as uid ${found.uid}, not ${access.uid}`]),
    ...(found.uid === 0 ? ["the machine runs as root"] : []),
  ];
}
