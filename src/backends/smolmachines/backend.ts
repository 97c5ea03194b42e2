/** The smolmachines backend: a guest in a virtual machine of smolvm's, without a network, its doors mounted as sockets. */
import type { Backend } from "../contract.ts";
import { type LookAtKvm, probeKvm } from "./kvm.ts";
import { launchMachine } from "./launch.ts";
import { probeSmolmachines, surveySmolmachines } from "./probe.ts";
import { reapMachines } from "./reap.ts";

/** What a smolmachines backend may be told otherwise. */
export interface SmolmachinesOptions {
  /** Looks at the device that machines need; a smolvm that needs none is told that it is open. */
  readonly lookAtKvm?: LookAtKvm;
}

/** Makes the backend. */
export function createSmolmachines(options: SmolmachinesOptions = {}): Backend {
  const { lookAtKvm = probeKvm } = options;
  return {
    name: "smolmachines",
    probe: (ports) => probeSmolmachines(ports, lookAtKvm),
    survey: surveySmolmachines,
    launch: (plan, context) => launchMachine(plan, context, lookAtKvm),
    reap: reapMachines,
  };
}

/** The backend as bottles use it. */
export const smolmachines: Backend = createSmolmachines();
