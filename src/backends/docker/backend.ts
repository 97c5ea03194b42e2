/** The docker backend: a guest in a container without a network, through the engine's API. Needs an engine and an image. */
import type { Backend } from "../contract.ts";
import { findObjects, removeObject } from "./find-objects.ts";
import { launchDocker } from "./launch.ts";
import { lookAtDocker } from "./look.ts";
import { probeDocker } from "./probe.ts";
import { reapDocker } from "./reap.ts";
import { surveyDocker } from "./survey.ts";

export const docker: Backend = {
  name: "docker",
  probe: probeDocker,
  survey: surveyDocker,
  look: lookAtDocker,
  launch: launchDocker,
  reap: reapDocker,
  findObjects,
  removeObject,
};
