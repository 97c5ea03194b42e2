// What tests need of the container engine: a base image without a registry, an engine whose requests
// are counted, and a place that forgets its images. Nothing that others made is touched.
import { execFileSync } from "node:child_process";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { IMAGE_FAMILY_LABEL } from "../../src/base/labels.ts";
import type { Engine } from "../../src/engine/contract.ts";
import { openEngine, openEngineAt } from "../../src/engine/engine.ts";
import { dockerRaw } from "./docker-command.ts";
import { tempDir } from "./temp-dir.ts";

const ROOT = join(import.meta.dirname, "../..");

const BASE_DEADLINE_MS = 150_000;

/** The name of the base image made of this machine's packages; made when it is missing. */
export function testBase(): string {
  const script = join(ROOT, "scripts/images/make-base.sh");
  return execFileSync(script, ["host"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: BASE_DEADLINE_MS,
  }).trim();
}

/** Settings of image builds on this machine: those that bin/test found, else the quick base and what Node trusts besides. */
export function imageEnv(): Readonly<Record<string, string | undefined>> & {
  readonly BOT_BOTTLE_BASE_IMAGE: string;
} {
  const { env } = process;
  return {
    BOT_BOTTLE_BASE_IMAGE: env["BOT_BOTTLE_BASE_IMAGE"] || testBase(),
    BOT_BOTTLE_BUILD_CA: env["BOT_BOTTLE_BUILD_CA"] ?? env["NODE_EXTRA_CA_CERTS"],
  };
}

/** Runs a program in a container of its own, without a network, and returns what it printed. */
export function runInImage(image: string, argv: readonly string[], user?: string): string {
  const as = user === undefined ? [] : ["--user", user];
  const options = ["run", ...as, "--rm", "--network", "none", "--entrypoint", argv[0] ?? ""];
  return dockerRaw([...options, image, ...argv.slice(1)]);
}

export interface CountedEngine extends AsyncDisposable {
  readonly engine: Engine;
  /** Method and path of each request since the engine was opened. */
  readonly requests: string[];
}

/** The engine behind a relay that counts. */
export async function countedEngine(): Promise<CountedEngine> {
  const requests: string[] = [];
  using direct = await openEngine(process.env);
  const { endpoint } = direct;
  if (endpoint.kind !== "unix") throw new Error("an engine on a socket is expected");
  const server = createServer((incoming, outgoing) => {
    requests.push(`${incoming.method} ${incoming.url}`);
    const { method, url: path, headers } = incoming;
    const passed = request({ socketPath: endpoint.path, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    passed.on("error", (error) => outgoing.destroy(error));
    incoming.on("error", (error) => passed.destroy(error));
    incoming.on("close", () => incoming.complete || passed.destroy());
    incoming.pipe(passed);
  });
  const path = join(tempDir("engine-"), "engine.sock");
  await new Promise<void>((done) => server.listen(path, done));
  const engine = await openEngineAt({ kind: "unix", path, source: "test" });
  requests.length = 0;
  return {
    engine,
    requests,
    [Symbol.asyncDispose]: async () => {
      engine[Symbol.dispose]();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Removes all images of these families, with every name that they have. */
export async function removeFamilies(engine: Engine, families: Iterable<string>): Promise<void> {
  for (const family of families) {
    for (const image of await engine.images.list({ [IMAGE_FAMILY_LABEL]: family })) {
      const names = image.RepoTags.filter((name) => name !== "<none>:<none>");
      for (const name of names.length === 0 ? [image.Id] : names) await engine.images.remove(name);
    }
  }
}
