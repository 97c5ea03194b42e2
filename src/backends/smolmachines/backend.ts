/** The smolmachines backend: a guest in a virtual machine of smolvm's, without a network, its doors mounted as sockets. */
import type { Backend } from "../contract.ts";
import { type LookAtKvm, probeKvm } from "./kvm.ts";
import { launchMachine } from "./launch.ts";
import { lookAtSmolmachines } from "./look.ts";
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
    survey: async (request, ports) => {
      if (request.attachment !== "tsi") return surveySmolmachines(request, ports);
      const { surveyTsi } = await import("./tsi/survey.ts");
      return surveyTsi(request, ports);
    },
    look: (plan, ports) => lookAtSmolmachines(plan, ports, lookAtKvm),
    launch: async (plan, context) => {
      if (plan.attachment !== "tsi") return launchMachine(plan, context, lookAtKvm);
      const { launchTsi } = await import("./tsi/launch.ts");
      return launchTsi(plan, context, lookAtKvm);
    },
    reap: async (resources, ports) => {
      await reapMachines(resources, ports);
      const { reapPacking } = await import("./tsi/reap.ts");
      await reapPacking(resources, ports);
    },
  };
}

/** The backend as bottles use it. */
export const smolmachines: Backend = createSmolmachines();
