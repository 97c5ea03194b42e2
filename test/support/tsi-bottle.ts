// Guests that are filtered by address, on a fake smolvm 0.8 and the engine of this machine.
import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import type { AttachmentValues } from "../../src/backends/contract.ts";
import { createSmolmachines } from "../../src/backends/smolmachines/backend.ts";
import { type Backend, parseHostPath } from "../../src/index.ts";
import { testBase } from "./docker.ts";
import type { SmolvmTsi } from "./smolvm-tsi.ts";

const ROOT = join(import.meta.dirname, "../..");

let packing: Readonly<Record<string, string>> | undefined;
let base: string | undefined;

/** Names of the images that packing needs, made when they are missing; asked for once. */
export function packingEnv(): Readonly<Record<string, string>> {
  packing ??= findPackingImages();
  return packing;
}

function findPackingImages(): Readonly<Record<string, string>> {
  const script = join(ROOT, "scripts/docker/crane.sh");
  const stdio: ["ignore", "pipe", "inherit"] = ["ignore", "pipe", "inherit"];
  const printed = execFileSync(script, [], { encoding: "utf8", stdio });
  const [registry = "", crane = ""] = printed.trim().split(" ");
  return { BOT_BOTTLE_REGISTRY_IMAGE: registry, BOT_BOTTLE_CRANE_IMAGE: crane };
}

/** The real backend, told that machines can run. */
export const openTsi = (): Backend =>
  createSmolmachines({ lookAtKvm: () => ({ kind: "open", gid: undefined }) });

/** A backend for bottles of any plan: guests are filtered, and the doors' sockets are brought to an address of the loopback. */
export function tsiBackend(smolvm: SmolvmTsi, cacheDir: string): Backend {
  const { launch, reap } = openTsi();
  const own = { BOT_BOTTLE_SMOLVM: smolvm.program, ...packingEnv() };
  base ??= testBase();
  const image = { kind: "reference", reference: base } as const;
  return {
    // Planning asks the backend of a name; the operator's environment of a test names no smolvm.
    name: "fake",
    probe: () => Promise.reject(new Error("nobody probes it")),
    launch: async (plan, context) => {
      const doors = await publishSocket(join(plan.doorsDir, "proxy.sock"));
      try {
        const guest = await launch(
          { ...plan, image, cacheDir: parseHostPath(cacheDir), attachment: "tsi" },
          {
            ...context,
            attachment: doors.attachment,
            ports: { ...context.ports, env: { ...context.ports.env, ...own } },
          },
        );
        void guest.exited.finally(doors.close);
        return guest;
      } catch (error) {
        doors.close();
        throw error;
      }
    },
    reap,
  };
}

interface Published {
  readonly attachment: AttachmentValues;
  readonly close: () => void;
}

/** A door's socket on an address that no real bundle gets. */
async function publishSocket(path: string): Promise<Published> {
  const host = `127.${randomInt(1, 255)}.${randomInt(255)}.${randomInt(1, 255)}`;
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const door = connect({ path, allowHalfOpen: true });
    client.pipe(door).pipe(client);
    door.on("error", () => client.resetAndDestroy());
    client.on("error", () => door.destroy());
  });
  await new Promise<void>((done) => server.listen(0, host, done));
  const { port } = server.address() as AddressInfo;
  const close = (): void => void server.close();
  return { attachment: { endpoints: { proxy: { host, port } } }, close };
}
