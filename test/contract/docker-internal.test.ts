// The contract on the real engine with attachment internal: real bundles in containers, on a network of the two.

import { createContainerBundles } from "../support/container-bundle.ts";
import { requires } from "../support/requires.ts";
import type { SuiteAttachment } from "./attachments.ts";
import { describeBackend } from "./backend-suite.ts";
import { cacheDir, leftOnEngine, openDocker } from "./docker-subject.ts";

const byNetwork: SuiteAttachment = {
  setting: "attachment: internal",
  createBundleHost: (options) => createContainerBundles(cacheDir, options),
  door: ({ plan }) => {
    const host = plan.guest.network?.bundleAddress ?? "";
    return { name: host, host };
  },
  interfaces: 1,
  // What nobody answers on a link is silence.
  nowhere: ["refused", "unreachable", "timeout"],
  leftOnEngine,
};

describeBackend(
  "docker with attachment internal",
  () => openDocker("runc"),
  requires("docker"),
  byNetwork,
);
