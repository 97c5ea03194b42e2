// The contract on the real engine: with its default runtime, and with gVisor where that is registered.
import { type Backend, openBackend, parseHostPath } from "../../src/index.ts";
import { testBase } from "../support/docker.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";
import { describeBackend } from "./backend-suite.ts";

/** Answers of probes are kept for the whole file, as they are in an operator's home. */
const cacheDir = parseHostPath(tempDir("docker-cache-"));

/** The docker backend with an image that needs no build, and one runtime whatever else is registered. */
async function openDocker(runtime: string): Promise<Backend> {
  const docker = await openBackend("docker");
  const image = { kind: "reference", reference: testBase() } as const;
  return {
    ...docker,
    survey: (request, ports) => docker.survey?.({ ...request, cacheDir }, ports) ?? missing(),
    launch: (plan, context) => docker.launch({ ...plan, image, runtime, cacheDir }, context),
  };
}

function missing(): never {
  throw new Error("the docker backend has no survey");
}

describeBackend("docker", () => openDocker("runc"), requires("docker"));
describeBackend("docker with gVisor", () => openDocker("runsc"), requires("docker", "runsc"));
