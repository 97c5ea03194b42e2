// Programs that people use, in a real bottle, as they are: nothing but the bottle's own environment tells them of the proxy and of its
// authority. Each gets what was granted, with the real credential put in outside, and reads why it was refused what was not.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Bottle, openBackend } from "../../src/index.ts";
import { readAudit } from "../../src/protocol/audit-read.ts";
import { makeWorld, openIn } from "../support/bottle-world.ts";
import { buildGoClient, makeClientPackages } from "../support/client-packages.ts";
import { CLIENT_HOSTS, ClientUpstream } from "../support/client-upstream.ts";
import { testBase } from "../support/docker.ts";
import { missing, requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

const TOKENS = {
  API_TOKEN: "api-real-Qw2Er4Ty6Ui8Op0As1Df3",
  GIT_TOKEN: "git-real-Gh5Jk7Lz9Xc1Vb3Nm5Qa",
  NPM_TOKEN: "npm-real-Ws7Ed9Rf1Tg3Yh5Uj7Ik",
  PIP_TOKEN: "pip-real-Ol2Pm4Nb6Vc8Xz0Qs1Dw",
} as const;
const PLANTED = "planted-Jj0Kk9Ll8Ii7Hh6Gg5Ff4";
const basic = (user: string, token: string): string =>
  `Basic ${Buffer.from(`${user}:${token}`).toString("base64")}`;

const NODE = "/clients/node24";
const http = (client: string): Client["argv"] => {
  return (method, url, body) => [NODE, "/clients/http.mjs", client, method, url, ...body];
};
const python = (client: string): Client["argv"] => {
  return (method, url, body) => [
    "/usr/bin/python3",
    "/clients/client.py",
    client,
    method,
    url,
    ...body,
  ];
};
const curl = (...flags: readonly string[]): Client["argv"] => {
  const data = (body: readonly string[]): string[] => body.flatMap((it) => ["--data-binary", it]);
  return (method, url, body, header) => [
    ...["curl", "-sS", ...flags, "-X", method, "-H", header, ...data(body), url],
  ];
};
const wget: Client["argv"] = (method, url, body, header) => [
  ...["wget", "-nv", "-O-", "--content-on-error", `--method=${method}`, `--header=${header}`],
  ...body.map((it) => `--body-data=${it}`),
  url,
];

interface Client {
  readonly name: string;
  /** Whether a guest has it that is made of an image. */
  readonly isInImage: boolean;
  /** The protocol that the server is to see. */
  readonly version: string;
  readonly argv: (
    method: string,
    url: string,
    body: readonly string[],
    header: string,
  ) => readonly string[];
}

const CLIENTS: readonly Client[] = [
  { name: "curl over HTTP/1.1", isInImage: true, version: "1.1", argv: curl("--http1.1") },
  { name: "curl over HTTP/2", isInImage: true, version: "2.0", argv: curl("--http2") },
  { name: "wget", isInImage: false, version: "1.1", argv: wget },
  { name: "fetch of Node", isInImage: true, version: "1.1", argv: http("fetch") },
  { name: "node:https", isInImage: true, version: "1.1", argv: http("https") },
  { name: "urllib of Python", isInImage: false, version: "1.1", argv: python("urllib") },
  { name: "requests of Python", isInImage: false, version: "1.1", argv: python("requests") },
  { name: "aiohttp of Python", isInImage: false, version: "1.1", argv: python("aiohttp") },
  {
    name: "net/http of Go",
    isInImage: true,
    version: "2.0",
    argv: (method, url, body) => ["/clients/go-client", method, url, ...body],
  },
];

/** The image needs no build. */
const imageFor = (isImage: boolean): Readonly<Record<string, string>> =>
  isImage ? { BOT_BOTTLE_IMAGE: testBase(), BOT_BOTTLE_BASE_IMAGE: testBase() } : {};

const BOTTLE = (programs: string, port: number): string => `
agent_provider: { template: command, settings: { argv: [/bin/true] } }
env: { PLANTED: "\${PLANTED}" }
mounts: [{ host: ${programs}, guest: /clients }]
egress:
  upstream_ca: [../ca.pem]
  resolve: ${JSON.stringify(Object.fromEntries(CLIENT_HOSTS.map((host) => [host, `127.0.0.1:${port}`])))}
  routes:
    - host: api.clients.test
      auth: { scheme: Bearer, token_ref: API_TOKEN }
      matches: [{ paths: [{ value: /v1 }] }]
    - host: git.clients.test
      auth: { scheme: basic, username: x-access-token, token_ref: GIT_TOKEN }
      git: { fetch: true }
    - host: npm.clients.test
      auth: { scheme: Bearer, token_ref: NPM_TOKEN }
    - host: pip.clients.test
      auth: { scheme: basic, username: __token__, token_ref: PIP_TOKEN }`;

const PLACES = [
  { backend: "bubblewrap", needs: requires("bwrap", "userns", "git", "python3"), isImage: false },
  { backend: "docker", needs: requires("docker", "git", "python3"), isImage: true },
] as const;
describe.each(PLACES)("$backend", ({ backend, needs, isImage }) => {
  describe("has a bottle in which", needs, () => {
    let upstream: ClientUpstream;
    let bottle: Bottle;
    let env: Readonly<Record<string, string>>;
    let removeWorld: () => void = () => undefined;

    beforeAll(async () => {
      const packages = makeClientPackages(tempDir("bb-clients-"));
      if (missing("go") === undefined) buildGoClient(packages);
      upstream = await new ClientUpstream(packages).open();
      const world = makeWorld(BOTTLE(packages.programs, upstream.port), (remove) => {
        removeWorld = remove;
      });
      writeFileSync(join(world.home.home, "ca.pem"), upstream.caPem);
      const operator = {
        ...world,
        env: { ...world.env, ...TOKENS, PLANTED, ...imageFor(isImage) },
      };
      bottle = await openIn(operator, { backend: await openBackend(backend) });
      const { stdout } = await bottle.exec(["env", "-0"]);
      const pairs = stdout
        .toString()
        .split("\0")
        .map((line) => line.split("="));
      env = Object.fromEntries(pairs.map(([name = "", ...value]) => [name, value.join("=")]));
    });
    afterAll(async () => {
      await bottle?.[Symbol.asyncDispose]();
      await upstream?.[Symbol.asyncDispose]();
      removeWorld();
    });

    async function run(...argv: readonly string[]): Promise<{ code: unknown; text: string }> {
      const { exitCode, stdout, stderr } = await bottle.exec(argv, { cwd: "/tmp" });
      const text = `${stdout.toString()}${stderr.toString()}`;
      for (const token of Object.values(TOKENS)) expect(text).not.toContain(token);
      return { code: exitCode, text };
    }
    const sh = (script: string): ReturnType<typeof run> => run("/bin/sh", "-ec", script);

    const since = (at: number): readonly (typeof upstream.seen)[number][] =>
      upstream.seen.slice(at);
    async function lastDenial(): Promise<string | undefined> {
      let last: string | undefined;
      for await (const { verdict, reason } of readAudit(bottle.plan.paths.audit))
        if (verdict === "deny") last = reason;
      return last;
    }

    it("the guest has placeholders only", () => {
      for (const name of Object.keys(TOKENS)) expect(env[name]).toMatch(/^bot-bottle-placeholder-/);
      const values = JSON.stringify(env);
      for (const token of Object.values(TOKENS)) expect(values).not.toContain(token);
    });

    describe.each(CLIENTS.filter((it) => it.isInImage || !isImage))("$name", (client) => {
      const needs = client.name.startsWith("net/http")
        ? requires("go")
        : requires(...(client.name.endsWith("Python") ? (["python3-clients"] as const) : []));
      const ask = (
        method: string,
        url: string,
        ...body: readonly string[]
      ): Promise<{ code: unknown; text: string }> =>
        run(...client.argv(method, url, body, `Authorization: Bearer ${env["API_TOKEN"]}`));

      it("gets what was granted, with the credential put in outside", needs, async () => {
        const at = upstream.seen.length;
        const { code, text } = await ask("GET", "https://api.clients.test/v1/hello");
        expect([code, text]).toEqual([0, expect.stringContaining('"method":"GET"')]);
        expect(text).toContain(`"version":"${client.version}"`);
        expect(since(at)).toEqual([
          expect.objectContaining({
            host: "api.clients.test",
            url: "/v1/hello",
            version: client.version,
            authorization: `Bearer ${TOKENS.API_TOKEN}`,
          }),
        ]);
      });

      it("sends a body", needs, async () => {
        const { text } = await ask("POST", "https://api.clients.test/v1/notes", "a note");
        expect(text).toContain('"body":"a note"');
      });

      it("reads why a path is refused", needs, async () => {
        const at = upstream.seen.length;
        const { text } = await ask("GET", "https://api.clients.test/v2/hello");
        expect(text).toContain("egress: no-match: ");
        expect(text).toContain("to go on: ");
        expect([since(at), await lastDenial()]).toEqual([[], "no-match"]);
      });

      it("does not reach a host that was not granted", needs, async () => {
        const at = upstream.seen.length;
        const { code, text } = await ask("GET", "https://closed.clients.test/");
        expect(code).not.toBe(0);
        expect(text).toMatch(/403|Forbidden/i);
        expect([since(at), await lastDenial()]).toEqual([[], "host-not-allowed"]);
      });

      it("sends no secret", needs, async () => {
        const at = upstream.seen.length;
        const { text } = await ask("POST", "https://api.clients.test/v1/notes", `it is ${PLANTED}`);
        expect(text).toContain("egress: secret-found: ");
        expect([since(at), await lastDenial()]).toEqual([[], "secret-found"]);
      });
    });

    it("curl reads a stream of events", async () => {
      const { code, text } = await run("curl", "-sSN", "https://api.clients.test/v1/events");
      expect([code, text.match(/^data: .*$/gm)]).toEqual([
        0,
        ["data: event 1", "data: event 2", "data: event 3"],
      ]);
    });

    describe("a WebSocket", () => {
      const sockets = [
        { of: "Node", argv: [NODE, "/clients/ws.mjs"], more: {} },
        {
          of: "aiohttp",
          argv: ["/usr/bin/python3", "/clients/client.py", "ws", "GET"],
          more: requires("python3-clients"),
        },
      ];
      it.each(isImage ? sockets.slice(0, 1) : sockets)(
        "of $of carries text and bytes, and is closed at a secret",
        async ({ argv }) => {
          const at = upstream.messages.length;
          const { text } = await run(...argv, "wss://api.clients.test/v1/socket");
          expect(text).toMatch(/^text hello\nbytes 00ff80\nclosed 1008 .*secret-found/);
          expect(upstream.messages.slice(at).map(String)).toEqual(["hello", "\0\ufffd\ufffd"]);
          expect(upstream.seen.at(-1)).toMatchObject({
            authorization: `Bearer ${TOKENS.API_TOKEN}`,
          });
          expect(await lastDenial()).toBe("secret-found");
        },
      );
    });

    describe("git", () => {
      const URL = "https://git.clients.test/hello.git";

      it("clones where fetching was granted, and cannot push", async () => {
        const at = upstream.seen.length;
        const clone = await sh(`rm -rf hello; git clone -q ${URL}; cat hello/hello`);
        expect([clone.code, clone.text]).toEqual([0, "hello of git\n"]);
        const expected = basic("x-access-token", TOKENS.GIT_TOKEN);
        expect(new Set(since(at).map(({ authorization }) => authorization))).toEqual(
          new Set([expected]),
        );
        const sent = upstream.seen.length;
        const push = await sh(
          "cd hello; git -c user.name=a -c user.email=a@a.test commit -q --allow-empty -m x; git push -q origin HEAD:other",
        );
        expect(push.code).not.toBe(0);
        expect(push.text).toContain("403");
        expect([since(sent), await lastDenial()]).toEqual([[], "git-push-refused"]);
      });

      it("does not fetch elsewhere", async () => {
        const at = upstream.seen.length;
        const { code, text } = await sh("git ls-remote https://npm.clients.test/hello.git");
        expect(code).not.toBe(0);
        expect(text).toContain("403");
        expect([since(at), await lastDenial()]).toEqual([[], "git-fetch-refused"]);
      });
    });

    describe("npm", () => {
      it.each(["greeting", "@small/greeting"])("installs %s", async (name) => {
        const at = upstream.seen.length;
        const { code, text } = await sh(
          `rm -rf app; mkdir app; cd app; export npm_config_cache=$PWD/cache; echo '{}' > package.json
        echo "//npm.clients.test/:_authToken=$NPM_TOKEN" > .npmrc
        npm install --silent --no-audit --no-fund --registry https://npm.clients.test/ ${name}
        node -p "require('${name}')"`,
        );
        expect([code, text]).toEqual([0, "hello of npm\n"]);
        const sent = since(at).map(({ authorization }) => authorization);
        expect(sent.length).toBeGreaterThan(1);
        expect(new Set(sent)).toEqual(new Set([`Bearer ${TOKENS.NPM_TOKEN}`]));
      });

      it("is told when a registry is refused", async () => {
        const { code, text } = await sh(
          "rm -rf other; mkdir other; cd other; npm install --no-audit --no-fund --fetch-retries 0 --registry https://closed.clients.test/ greeting",
        );
        expect(code).not.toBe(0);
        expect(text).toContain("403");
      });
    });

    if (isImage) return;
    describe("pip", requires("python3-clients"), () => {
      const pip = "/usr/bin/python3 -m pip --disable-pip-version-check install --no-cache-dir";

      it("installs", async () => {
        const at = upstream.seen.length;
        const { code, text } = await sh(
          `rm -rf lib; ${pip} -q --root-user-action=ignore --target lib --index-url https://pip.clients.test/simple/ greeting
        PYTHONPATH=lib /usr/bin/python3 -c 'import greeting; print(greeting.TEXT)'`,
        );
        expect([code, text]).toEqual([0, "hello of pip\n"]);
        const expected = basic("__token__", TOKENS.PIP_TOKEN);
        expect(since(at).map(({ url, authorization }) => [url, authorization])).toEqual([
          ["/simple/greeting/", expected],
          ["/files/greeting-1.0-py3-none-any.whl", expected],
        ]);
      });

      it("is told when an index is refused", async () => {
        const { code, text } = await sh(
          `${pip} --retries 1 --target lib2 --index-url https://closed.clients.test/simple/ greeting`,
        );
        expect(code).not.toBe(0);
        expect(text).toContain("403");
      });
    });
  });
});
