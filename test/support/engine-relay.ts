// The engine behind a relay that notes each request and when it came; hijacked connections pass too.
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { tempDir } from "./temp-dir.ts";

const REQUEST = /^(GET|POST|PUT|DELETE) (?:\/v[\d.]+)?(\S+) HTTP\/1\.1\r\n/;

/** One request of the engine's API. */
export interface EngineRequest {
  readonly at: number;
  /** Method and path without the version and the query. */
  readonly line: string;
}

export interface EngineRelay extends AsyncDisposable {
  /** For DOCKER_HOST. */
  readonly host: string;
  readonly requests: readonly EngineRequest[];
}

/** Relays to the engine of this machine. */
export async function relayEngine(to = "/var/run/docker.sock"): Promise<EngineRelay> {
  const requests: EngineRequest[] = [];
  const path = join(tempDir("relay-"), "engine.sock");
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const engine = connect({ path: to, allowHalfOpen: true });
    client.on("data", (bytes: Buffer) => {
      const [, method, target = ""] = REQUEST.exec(bytes.toString("latin1", 0, 4_096)) ?? [];
      if (method !== undefined)
        requests.push({ at: Date.now(), line: `${method} ${target.split("?")[0]}` });
    });
    client.pipe(engine).pipe(client);
    client.on("error", () => engine.destroy());
    engine.on("error", () => client.destroy());
  });
  await new Promise<void>((done) => server.listen(path, done));
  return {
    host: `unix://${path}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      await new Promise<void>((done) => {
        server.close(() => done());
        // Kept-alive connections of the engine's client end with their process.
        done();
      });
    },
  };
}
