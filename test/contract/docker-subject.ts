// The docker backend under the contract: an image that needs no build, one runtime, and one home for all bottles of a file.
import { type Backend, openBackend, parseHostPath } from "../../src/index.ts";
import { readHomeId } from "../../src/process/ownership.ts";
import { testBase } from "../support/docker.ts";
import { docker } from "../support/docker-command.ts";
import { tempDir } from "../support/temp-dir.ts";

/** Answers of probes are kept for the whole file, as they are in an operator's home. */
export const cacheDir = parseHostPath(tempDir("docker-cache-"));

/** The backend with one runtime, whatever else is registered. */
export async function openDocker(runtime: string): Promise<Backend> {
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

/** Ids of containers and networks of the file's home. */
export function leftOnEngine(): string {
  const filter = ["--filter", `label=bot-bottle.home=${readHomeId(cacheDir) ?? "nobody"}`];
  return docker("ps", "-aq", ...filter) + docker("network", "ls", "-q", ...filter);
}
