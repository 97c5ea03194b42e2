/** Checks a machine from outside: smolvm's record of it and the process that it is. Nothing that the guest says is asked. */
import type { ProcessIdentity } from "../../process/identity.ts";
import { isAlive } from "../../process/identity.ts";
import { type ExpectedMachine, findStatusFaults, parseStatus } from "./machine-status.ts";
import type { Smolvm } from "./smolvm.ts";
import { readConfinement } from "./vmm.ts";

/** What is checked. */
export interface Inspection {
  readonly smolvm: Smolvm;
  readonly machine: ProcessIdentity;
  readonly expected: ExpectedMachine;
}

/** What is wrong; empty when nothing. */
export async function inspectMachine(inspection: Inspection): Promise<readonly string[]> {
  const { smolvm, machine, expected } = inspection;
  const text = await smolvm.command(["machine", "status", "--name", expected.name, "--json"], {
    what: "machine cannot be inspected",
  });
  const status = parseStatus(text);
  const faults = [...findStatusFaults(status, expected)];
  if (status.pid !== machine.pid)
    faults.push(`the machine is process ${status.pid}, not ${machine.pid}`);
  return [...faults, ...inspectProcess(inspection)];
}

function inspectProcess({ smolvm, machine }: Inspection): readonly string[] {
  if (process.platform !== "linux") return [];
  const found = isAlive(machine) ? readConfinement(machine.pid) : undefined;
  if (found === undefined) return ["the machine's process is gone"];
  const { access } = smolvm;
  return [
    ...(found.uid === access.uid
      ? []
      : [`the machine runs as uid ${found.uid}, not ${access.uid}`]),
    ...(found.uid === 0 ? ["the machine runs as root"] : []),
    ...(found.isFiltered ? [] : ["the machine has no system-call filter"]),
    ...(found.noNewPrivs ? [] : ["the machine may gain privileges"]),
  ];
}
