/**
 * A registry that lives as long as one image is packed: smolvm takes images from registries only, and an engine in a machine of
 * its own cannot push to the host's loopback. So a second container pushes on a private network, and smolvm pulls from a port of
 * the host. Invariant: both containers and the network say whose they are, and are gone at the end.
 */
import { get } from "node:http";
import { LaunchError, messageOf } from "../../../base/errors.ts";
import type { BottleId, HostPath } from "../../../base/ids.ts";
import { bottleLabels } from "../../../base/labels.ts";
import { Scope } from "../../../base/scope.ts";
import type { Engine, Labels } from "../../../engine/contract.ts";
import { ownershipLabels, readHomeId } from "../../../process/ownership.ts";
import type { BackendPorts } from "../../contract.ts";
import { removePacking } from "./reap.ts";

/** Variables that name other images for the two containers. */
export const REGISTRY_VARIABLE = "BOT_BOTTLE_REGISTRY_IMAGE";
export const CRANE_VARIABLE = "BOT_BOTTLE_CRANE_IMAGE";
const REGISTRY_IMAGE = "registry:2.8.3";
const CRANE_IMAGE = "gcr.io/go-containerregistry/crane:v0.20.6";
const REGISTRY_PORT = 5000;
/** Name of the registry on the private network. */
const REGISTRY_HOST = "registry";
const READY_MS = 30_000;
const FIRST_STEP_MS = 50;
const MAX_STEP_MS = 1_000;
const PUSH_MS = 600_000;
const MAX_SAID = 4_096;
const REPOSITORY = "bot-bottle";
const CONFINED = {
  CapDrop: ["ALL"],
  SecurityOpt: ["no-new-privileges"],
  RestartPolicy: { Name: "no" },
  PidsLimit: 256,
} as const;

/** Names of what a pack needs on the engine. */
export function packNames(id: BottleId): {
  readonly registry: string;
  readonly crane: string;
  readonly network: string;
} {
  return {
    registry: `bot-bottle-registry-${id}`,
    crane: `bot-bottle-crane-${id}`,
    network: `bot-bottle-pack-${id}`,
  };
}

/** What the registry is opened with. */
export interface RegistryInput {
  readonly engine: Engine;
  readonly id: BottleId;
  /** Cache of the home whose bottle it is. */
  readonly cacheDir: HostPath;
  readonly ports: Pick<BackendPorts, "clock" | "env" | "log">;
  readonly signal: AbortSignal | undefined;
}

/** A registry that answers. Disposing it removes everything. */
export class PackRegistry implements AsyncDisposable {
  readonly #input: RegistryInput;
  readonly #scope: Scope;
  readonly #port: number;

  constructor(input: RegistryInput, scope: Scope, port: number) {
    this.#input = input;
    this.#scope = scope;
    this.#port = port;
  }

  /** How smolvm names an image of this registry. */
  reference(tag: string): string {
    return `localhost:${this.#port}/${REPOSITORY}:${tag}`;
  }

  /** Pushes an archive of one image. Throws LaunchError `launch.image`. */
  async push(archive: HostPath, tag: string): Promise<void> {
    const { engine, id, ports, signal } = this.#input;
    const { crane, network } = packNames(id);
    const target = `${REGISTRY_HOST}:${REGISTRY_PORT}/${REPOSITORY}:${tag}`;
    const container = await engine.containers.create(
      crane,
      {
        Image: await requireImage(engine, ports.env[CRANE_VARIABLE] || CRANE_IMAGE, CRANE_VARIABLE),
        Cmd: ["push", "--insecure", "/image.tar", target],
        Labels: labelsOf(this.#input, "crane"),
        ...{ AttachStdout: true, AttachStderr: true },
        HostConfig: {
          ...CONFINED,
          NetworkMode: network,
          ReadonlyRootfs: true,
          Mounts: [{ Type: "bind", Source: archive, Target: "/image.tar", ReadOnly: true }],
        },
      },
      { signal },
    );
    try {
      const said = await runToEnd(engine, container, signal);
      if (said !== undefined) throw notPushed(said);
    } finally {
      await engine.containers.remove(container);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope.close();
  }
}

/** Opens the registry; resolves when it answers. Throws LaunchError; nothing is left behind then. */
export async function openRegistry(input: RegistryInput): Promise<PackRegistry> {
  const { engine, id, ports, signal } = input;
  await using scope = new Scope({ clock: ports.clock });
  const names = packNames(id);
  const image = ports.env[REGISTRY_VARIABLE] || REGISTRY_IMAGE;
  const found = await requireImage(engine, image, REGISTRY_VARIABLE);
  await removeOld(input);
  scope.defer("pack network", () => engine.networks.remove(names.network));
  await engine.networks.create(
    {
      Name: names.network,
      Driver: "bridge",
      CheckDuplicate: true,
      Labels: labelsOf(input, "pack"),
    },
    { signal },
  );
  scope.defer("registry", () => engine.containers.remove(names.registry));
  const container = await engine.containers.create(
    names.registry,
    {
      Image: found,
      Labels: labelsOf(input, "registry"),
      ExposedPorts: { [`${REGISTRY_PORT}/tcp`]: {} },
      HostConfig: {
        ...CONFINED,
        NetworkMode: names.network,
        PortBindings: { [`${REGISTRY_PORT}/tcp`]: [{ HostIp: "127.0.0.1", HostPort: "" }] },
      },
      NetworkingConfig: { EndpointsConfig: { [names.network]: { Aliases: [REGISTRY_HOST] } } },
    },
    { signal },
  );
  await engine.containers.start(container, { signal });
  const port = await findPort(engine, container);
  await waitForRegistry(port, input);
  return new PackRegistry(input, scope.move(), port);
}

/** Looks for both images before anything slow begins. Throws LaunchError `launch.image`. */
export async function requirePackingImages(
  engine: Engine,
  { env }: Pick<BackendPorts, "env">,
): Promise<void> {
  await requireImage(engine, env[REGISTRY_VARIABLE] || REGISTRY_IMAGE, REGISTRY_VARIABLE);
  await requireImage(engine, env[CRANE_VARIABLE] || CRANE_IMAGE, CRANE_VARIABLE);
}

/** Removes what a killed launch of the same bottle left. */
function removeOld({ engine, id, cacheDir }: RegistryInput): Promise<void> {
  const { crane, registry, network } = packNames(id);
  const objects = { containers: [crane, registry], networks: [network] };
  return removePacking(engine, objects, readHomeId(cacheDir));
}

function labelsOf({ id, cacheDir }: RegistryInput, role: "registry" | "crane" | "pack"): Labels {
  return bottleLabels(id, role, ownershipLabels(cacheDir));
}

async function requireImage(engine: Engine, reference: string, variable: string): Promise<string> {
  const found = await engine.images.inspect(reference);
  if (found !== undefined) return found.Id;
  throw new LaunchError(
    "launch.image",
    `the image cannot be packed: the engine has no image ${reference}, which packing needs`,
    { hint: `docker pull ${reference}, or name another one in ${variable}` },
  );
}

async function findPort(engine: Engine, container: string): Promise<number> {
  const found = await engine.containers.inspect(container);
  const [line] = found?.NetworkSettings.Ports[`${REGISTRY_PORT}/tcp`] ?? [];
  const port = Number(line?.HostPort);
  if (Number.isInteger(port) && port > 0) return port;
  throw new LaunchError(
    "launch.image",
    "the image cannot be packed: the registry's port was not published, or the registry ended at once",
    { hint: `see that the image in ${REGISTRY_VARIABLE} is a registry` },
  );
}

async function waitForRegistry(
  port: number,
  { ports: { clock }, signal }: RegistryInput,
): Promise<void> {
  const giveUpAt = clock.monotonic() + READY_MS;
  for (let step = FIRST_STEP_MS; ; step = Math.min(step * 2, MAX_STEP_MS)) {
    const answer = await askRegistry(port);
    if (answer === undefined) return;
    if (clock.monotonic() >= giveUpAt)
      throw new LaunchError(
        "launch.image",
        `the image cannot be packed: the registry does not answer: ${answer}`,
        { hint: `see that the image in ${REGISTRY_VARIABLE} is a registry` },
      );
    await clock.sleep(step, signal);
  }
}

/** Undefined when it answers as registries do, else what was seen. */
function askRegistry(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = get(
      { host: "127.0.0.1", port, path: "/v2/", timeout: MAX_STEP_MS },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200 ? undefined : `status ${answer.statusCode ?? 0}`);
      },
    );
    request.on("timeout", () => request.destroy(new Error("no answer in time")));
    request.on("error", (error) => resolve(messageOf(error)));
  });
}

/** Undefined when it ended well, else what it said. */
async function runToEnd(
  engine: Engine,
  container: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const stream = await engine.containers.attach(container, { tty: false, stdin: false, signal });
  let said = "";
  const keep = (chunk: Buffer): void => {
    said = (said + chunk.toString("utf8")).slice(-MAX_SAID);
  };
  for (const output of [stream.stdout, stream.stderr]) {
    output.on("data", keep);
    output.on("error", () => undefined);
  }
  try {
    await engine.containers.start(container, { signal });
    const code = await engine.containers.wait(container, "not-running", {
      signal,
      timeoutMs: PUSH_MS,
    });
    return code === 0 ? undefined : said.trim() || `exit status ${code}`;
  } finally {
    stream.destroy();
  }
}

function notPushed(said: string): LaunchError {
  const line =
    said
      .split("\n")
      .at(-1)
      ?.replace(/[\p{C}]/gu, " ") ?? "";
  return new LaunchError(
    "launch.image",
    `the image cannot be packed: it was not pushed to the registry: ${line}`,
    { hint: `see that the image in ${CRANE_VARIABLE} is crane` },
  );
}
