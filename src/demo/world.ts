/**
 * The world of the demo: a home of its own, a small git repository, and the servers that stand in for the internet. All of it
 * lies in one temporary directory and on loopback, and goes when the scope closes.
 */
import { randomBytes } from "node:crypto";
import { chmod, cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { HostError } from "../base/errors.ts";
import { type HostPath, parseHostPath } from "../base/ids.ts";
import { type HomePaths, homePaths } from "../base/paths.ts";
import type { Scope } from "../base/scope.ts";
import { helperEnv } from "../process/env.ts";
import type { Exec } from "../process/exec.ts";
import { openFakeAnthropic } from "../testing/fake-anthropic.ts";
import type { FakeModelApi } from "../testing/fake-model-server.ts";
import { openFakeOpenAi } from "../testing/fake-openai.ts";
import { createAuthority } from "../tls/authority.ts";
import { createLeafMinter, type LeafMinter } from "../tls/leaf.ts";

/** Which agent the demo runs. */
export const DEMO_AGENTS = ["scripted", "claude", "codex"] as const;
export type DemoAgent = (typeof DEMO_AGENTS)[number];

/** Largest body that the demo's API reads. */
const MAX_BODY_BYTES = 65_536;
/** Addresses written in the example files; the demo's own take their place. */
const EXAMPLE_API = "127.0.0.1:18443";
const EXAMPLE_MODEL = "127.0.0.1:18444";

/** What the demo's API saw of one request. */
export interface SinkRequest {
  readonly method: string;
  readonly path: string;
  readonly hasRealToken: boolean;
  readonly body: string;
}

export interface DemoWorld {
  readonly home: HomePaths;
  readonly repository: HostPath;
  /** Values that only the host has, by the variable that the bottle file names. */
  readonly secrets: Readonly<Record<string, string>>;
  /** What arrived at the API, oldest first. */
  readonly seen: readonly SinkRequest[];
  readonly model: FakeModelApi | undefined;
}

export interface WorldOptions {
  readonly exec: Exec;
  readonly searchPath: string;
  readonly agent: DemoAgent;
  /** The package's `examples/demo`. */
  readonly examples: string;
  /** Puts a wrong token in, the API's for the scripted agent and the model's for the real ones, to show that the agent then fails. */
  readonly withoutInjection: boolean;
}

/** Opens the world; everything in it is owned by the scope. */
export async function openWorld(scope: Scope, options: WorldOptions): Promise<DemoWorld> {
  const root = await mkdtemp(join(tmpdir(), "bot-bottle-demo-"));
  scope.defer("demo directory", () => rm(root, { recursive: true, force: true, maxRetries: 3 }));
  const secrets = {
    DEMO_API_TOKEN: `demo-real-token-${randomBytes(12).toString("hex")}`,
    DEMO_MODEL_TOKEN: `demo-real-token-model-${randomBytes(12).toString("hex")}`,
    DEMO_PLANTED_SECRET: `planted-${randomBytes(18).toString("base64url")}`,
  };
  const authority = createAuthority({
    commonName: "bot-bottle demo upstreams",
    now: systemClock.now(),
  });
  const minter = createLeafMinter({ ...authority, now: () => systemClock.now() });
  const seen: SinkRequest[] = [];
  const api = await openApi(scope, minter, { token: secrets.DEMO_API_TOKEN, seen });
  const model = await openModel(scope, minter, options, secrets.DEMO_MODEL_TOKEN);
  const home = await writeHome(root, options.examples, authority.certificatePem, {
    api,
    model: model?.port ?? 1,
  });
  const repository = await openRepository(root, options);
  const wrong =
    options.agent === "scripted"
      ? { DEMO_API_TOKEN: "an-invalid-api-token" }
      : { DEMO_MODEL_TOKEN: "an-invalid-model-token" };
  const given = options.withoutInjection ? { ...secrets, ...wrong } : secrets;
  return { home, repository, secrets: given, seen, model };
}

async function openApi(
  scope: Scope,
  minter: LeafMinter,
  state: { token: string; seen: SinkRequest[] },
): Promise<number> {
  const leaf = minter.mint("api.demo.test");
  const server = createServer(
    { cert: leaf.certPem, key: leaf.keyPem },
    (request, response) => void answer(request, response, state),
  );
  scope.defer("demo API", () => closeServer(server));
  return listen(server);
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  state: { token: string; seen: SinkRequest[] },
): Promise<void> {
  let body = "";
  for await (const chunk of request) if (body.length < MAX_BODY_BYTES) body += String(chunk);
  const hasRealToken = request.headers.authorization === `Bearer ${state.token}`;
  state.seen.push({ method: request.method ?? "", path: request.url ?? "", hasRealToken, body });
  response.writeHead(hasRealToken ? 200 : 401, { "content-type": "application/json" });
  response.end(
    JSON.stringify(
      hasRealToken ? { user: "demo", scopes: ["notes:write"] } : { error: "no valid token" },
    ),
  );
}

async function openModel(
  scope: Scope,
  minter: LeafMinter,
  options: WorldOptions,
  credential: string,
): Promise<FakeModelApi | undefined> {
  if (options.agent === "scripted") return undefined;
  const isClaude = options.agent === "claude";
  const leaf = minter.mint(isClaude ? "api.anthropic.com" : "api.openai.com");
  const open = isClaude ? openFakeAnthropic : openFakeOpenAi;
  return scope.use(
    "demo model API",
    await open({ identity: { certificate: leaf.certPem, key: leaf.keyPem }, credential }),
  );
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}

function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

/** Copies the example files into a home of the demo's own, with the real addresses. */
async function writeHome(
  root: string,
  examples: string,
  ca: string,
  ports: { api: number; model: number },
): Promise<HomePaths> {
  const home = homePaths(parseHostPath(join(root, "home")));
  const files = join(root, "files");
  await cp(join(examples, "files"), files, { recursive: true });
  await chmod(files, 0o755);
  await cp(join(examples, "home"), home.home, { recursive: true });
  for (const name of await readdir(home.bottles)) {
    const file = join(home.bottles, name);
    const text = await readFile(file, "utf8");
    await writeFile(
      file,
      text
        .replaceAll(EXAMPLE_API, `127.0.0.1:${ports.api}`)
        .replaceAll(EXAMPLE_MODEL, `127.0.0.1:${ports.model}`),
    );
  }
  await writeFile(join(home.bottles, "demo-ca.pem"), ca);
  return home;
}

/** A real repository: the example's files, committed. */
async function openRepository(
  root: string,
  { exec, searchPath, examples }: WorldOptions,
): Promise<HostPath> {
  const repository = join(root, "greet");
  await cp(join(examples, "repo"), repository, { recursive: true });
  const identity = [
    "-c",
    "user.name=demo",
    "-c",
    "user.email=demo@example.test",
    "-c",
    "commit.gpgsign=false",
  ];
  const steps = [
    ["init", "--quiet", "--initial-branch=main"],
    ["add", "--all"],
    [...identity, "commit", "--quiet", "--message", "a greeting"],
  ];
  for (const step of steps) {
    const result = await exec.run(["git", ...step], {
      cwd: repository,
      env: {
        ...helperEnv(searchPath),
        GIT_CONFIG_GLOBAL: "/dev/null",
        GIT_CONFIG_SYSTEM: "/dev/null",
      },
    });
    if (result.exitCode !== 0) {
      throw new HostError(
        "host.binary-missing",
        `git ${step[0] ?? ""} failed: ${result.stderr.toString("utf8").trim()}`,
      );
    }
  }
  return parseHostPath(repository);
}
