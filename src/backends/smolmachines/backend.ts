/** The smolmachines backend: a guest in a virtual machine of smolvm's, without a network, its doors mounted as sockets. */
import type { Backend } from "../contract.ts";
import { launchMachine } from "./launch.ts";
import { probeSmolmachines, surveySmolmachines } from "./probe.ts";
import { reapMachines } from "./reap.ts";

export const smolmachines: Backend = {
  name: "smolmachines",
  probe: probeSmolmachines,
  survey: surveySmolmachines,
  launch: launchMachine,
  reap: reapMachines,
};
