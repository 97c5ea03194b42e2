/** The bubblewrap backend: a guest of Linux namespaces on the host's own /usr. No daemon, no image, no root needed. */
import type { Backend } from "../contract.ts";
import { launchBubblewrap } from "./launch.ts";
import { lookAtBubblewrap } from "./look.ts";
import { probeBubblewrap } from "./probe.ts";
import { reapBubblewrap } from "./reap.ts";

export const bubblewrap: Backend = {
  name: "bubblewrap",
  probe: probeBubblewrap,
  look: lookAtBubblewrap,
  launch: launchBubblewrap,
  reap: reapBubblewrap,
};
