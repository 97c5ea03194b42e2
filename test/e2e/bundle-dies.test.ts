// The bundle killed while programs stream through it: each sees an error and nobody takes a part for the whole, nothing gets out
// meanwhile, and the bundle that is started again carries the same policy on.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Bottle, openBackend, type Session } from "../../src/index.ts";
import { readAudit, verifyAudit } from "../../src/protocol/audit-read.ts";
import { makeWorld, openIn } from "../support/bottle-world.ts";
import { makeClientPackages } from "../support/client-packages.ts";
import { ClientUpstream } from "../support/client-upstream.ts";
import { testBase } from "../support/docker.ts";
import { bridgeAddress, docker } from "../support/docker-command.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

const TOKEN = "api-real-Qw2Er4Ty6Ui8Op0As1Df3";
const API = "https://api.clients.test/v1";
const http = ["/clients/node24", "/clients/http.mjs"];

/** A program that streams, and how far it must be before the bundle dies: bytes that it shows, or that arrive from it. */
interface Streaming {
  readonly name: string;
  readonly argv: readonly string[];
  readonly arrives?: string;
}

const curl = (...more: readonly string[]): readonly string[] => ["curl", "-sSN", ...more];
const upload = (...more: readonly string[]): readonly string[] =>
  curl("--limit-rate", "512K", "-T", "/tmp/big", ...more);
const STREAMS: readonly Streaming[] = [
  { name: "a download with a length", argv: curl("--http1.1", `${API}/open/length`) },
  { name: "a download in chunks", argv: curl("--http1.1", `${API}/open/chunks`) },
  { name: "events", argv: curl("--http1.1", `${API}/open/events`) },
  { name: "a download with a length, HTTP/2", argv: curl("--http2", `${API}/open/length`) },
  { name: "a download without, HTTP/2", argv: curl("--http2", `${API}/open/chunks`) },
  { name: "events, HTTP/2", argv: curl("--http2", `${API}/open/events`) },
  { name: "events of Node", argv: [...http, "stream", "GET", `${API}/open/events`] },
  { name: "a download of Node", argv: [...http, "stream", "GET", `${API}/open/length`] },
  { name: "an upload", argv: upload("--http1.1", `${API}/put/one`), arrives: "/v1/put/one" },
  { name: "an upload, HTTP/2", argv: upload("--http2", `${API}/put/two`), arrives: "/v1/put/two" },
];

const PLACES = [
  { place: "bubblewrap", needs: requires("bwrap", "userns", "git", "python3") },
  { place: "internal", needs: requires("docker", "root", "git", "python3") },
] as const;

describe.each(PLACES)("$place", ({ place, needs }) => {
  describe("a bottle whose bundle is killed", needs, () => {
    const isDocker = place === "internal";
    let upstream: ClientUpstream;
    let bottle: Bottle;
    let removeWorld: () => void = () => undefined;

    beforeAll(async () => {
      const packages = makeClientPackages(tempDir("bb-dies-"));
      const host = isDocker ? bridgeAddress() : "127.0.0.1";
      upstream = await new ClientUpstream(packages).open(host);
      const bottleText = `
agent_provider: { template: command, settings: { argv: [/bin/true] } }
mounts: [{ host: ${packages.programs}, guest: /clients }]
${isDocker ? "attachment: internal" : ""}
egress:
  upstream_ca: [../ca.pem]
  resolve: { api.clients.test: "${host}:${upstream.port}" }
  routes:
    - { host: api.clients.test, auth: { scheme: Bearer, token_ref: API_TOKEN } }`;
      const world = makeWorld(bottleText, (remove) => (removeWorld = remove));
      writeFileSync(join(world.home.home, "ca.pem"), upstream.caPem);
      const base = isDocker
        ? { BOT_BOTTLE_IMAGE: testBase(), BOT_BOTTLE_BASE_IMAGE: testBase() }
        : {};
      const env = { ...world.env, ...base, API_TOKEN: TOKEN };
      const backend = await openBackend(isDocker ? "docker" : "bubblewrap");
      bottle = await openIn({ ...world, env }, { backend });
    });
    afterAll(async () => {
      await bottle?.[Symbol.asyncDispose]();
      await upstream?.[Symbol.asyncDispose]();
      removeWorld();
    });

    /** Starts one and waits until it is under way. */
    async function begin(
      it: Streaming,
    ): Promise<{ name: string; session: Session; text: string[] }> {
      const session = await bottle.start(it.argv, { stdio: "pipe", cwd: "/tmp" });
      const text: string[] = [];
      for (const stream of [session.stdout, session.stderr])
        stream?.on("data", (chunk: Buffer) => text.push(chunk.toString()));
      const isUnderWay = (): boolean =>
        it.arrives === undefined
          ? text.join("").includes("first")
          : (upstream.arriving.get(it.arrives) ?? 0) > 0;
      await vi.waitFor(() => expect([it.name, isUnderWay()]).toEqual([it.name, true]), 30_000);
      return { name: it.name, session, text };
    }

    function killBundle(): void {
      if (isDocker) docker("kill", `bot-bottle-sidecars-${bottle.id}`);
      else process.kill(bottle.bundle.pid ?? Number.NaN, "SIGKILL");
    }

    it("ends every stream with an error, and goes on with the same policy", async () => {
      await bottle.exec(["/bin/sh", "-c", "truncate -s 1G /tmp/big"]);
      const running = await Promise.all(STREAMS.map(begin));
      const whole = upstream.seen.length;
      killBundle();
      for (const { name, session, text } of running) {
        const { exitCode } = await session.exited;
        expect([name, exitCode, text.join("")]).toEqual([
          name,
          expect.toSatisfy((code: number) => code > 0),
          expect.stringMatching(/curl: \(\d+\) |Error/),
        ]);
      }
      expect(upstream.seen.slice(whole)).toEqual([]);

      const answer = async (): Promise<string> => {
        const { stdout } = await bottle.exec(curl(`${API}/again`));
        return stdout.toString();
      };
      await vi.waitFor(async () => expect(await answer()).toContain('"method":"GET"'), 30_000);
      expect(upstream.seen.at(-1)).toMatchObject({ authorization: `Bearer ${TOKEN}` });
      const refused = await bottle.exec(curl("http://other.clients.test/"));
      expect(refused.stdout.toString()).toContain("egress: host-not-allowed");

      const { audit } = bottle.plan.paths;
      const details: (string | undefined)[] = [];
      for await (const line of readAudit(audit))
        if (line.kind === "bundle") details.push(line.detail);
      expect(details).toContainEqual(expect.stringContaining("started again"));
      expect(await verifyAudit(audit)).toMatchObject({ ok: true });
    });
  });
});
