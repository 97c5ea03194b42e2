// Our certificates before the strictest verifiers there are: OpenSSL's own, Python's strict mode, and Node.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type Server } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAuthority } from "../../src/tls/authority.ts";
import { createLeafMinter } from "../../src/tls/leaf.ts";
import { requires } from "../support/requires.ts";

const run = promisify(execFile);
const now = Date.now();
const authority = createAuthority({ commonName: "bot-bottle test", now });
const minter = createLeafMinter({ ...authority, now: () => now });
const HOSTS = ["api.example.com", "localhost", "127.0.0.1", "::1", `${"a".repeat(63)}.test`];

let directory: string;
let caFile: string;
const leafFile = (index: number): string => join(directory, `leaf-${index}.pem`);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "bot-bottle-tls-"));
  caFile = join(directory, "ca.pem");
  await writeFile(caFile, authority.certificatePem);
  for (const [index, host] of HOSTS.entries()) {
    await writeFile(leafFile(index), minter.mint(host).certPem);
  }
});

afterAll(() => rm(directory, { recursive: true, force: true }));

function serve(host: string): Promise<Server> {
  const { certPem, keyPem } = minter.mint(host);
  const server = createServer({ cert: certPem, key: keyPem }, (socket) => socket.end("hello"));
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  return once(server, "listening").then(() => server);
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

describe("openssl", requires("openssl"), () => {
  it.each([...HOSTS.entries()])("verifies leaf %i strictly: %s", async (index, host) => {
    const check = /^[\d.]+$|:/.test(host) ? "-verify_ip" : "-verify_hostname";
    const args = ["verify", "-x509_strict", "-purpose", "sslserver", check, host];
    const { stdout } = await run("openssl", [...args, "-CAfile", caFile, leafFile(index)]);
    expect(stdout).toContain(": OK");
  });

  it("refuses a leaf for another name, and another authority", async () => {
    const args = ["verify", "-x509_strict", "-CAfile", caFile, leafFile(0)];
    await expect(
      run("openssl", [...args.slice(0, 2), "-verify_hostname", "evil.test", ...args.slice(2)]),
    ).rejects.toThrow();
    const other = createAuthority({ commonName: "bot-bottle test", now });
    const otherFile = join(directory, "other.pem");
    await writeFile(otherFile, other.certificatePem);
    await expect(run("openssl", ["verify", "-CAfile", otherFile, leafFile(0)])).rejects.toThrow();
  });

  it("shows the extensions with the right criticality", async () => {
    const text = async (file: string): Promise<string> =>
      (await run("openssl", ["x509", "-in", file, "-noout", "-text"])).stdout;
    const ca = await text(caFile);
    expect(ca).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    expect(ca).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    expect(ca).toMatch(/Subject Key Identifier/);
    expect(ca).toMatch(/Authority Key Identifier/);
    expect(ca).not.toMatch(/Name Constraints/);
    const leaf = await text(leafFile(0));
    expect(leaf).toMatch(/Basic Constraints: critical\s+CA:FALSE/);
    expect(leaf).toMatch(/Key Usage: critical\s+Digital Signature\n/);
    expect(leaf).toMatch(/Extended Key Usage:\s+TLS Web Server Authentication\n/);
    expect(leaf).toMatch(/Subject: O = ?bot-bottle, CN = ?api\.example\.com/);
  });

  it("reads a far authority's GeneralizedTime", async () => {
    const far = createAuthority({ commonName: "far", now, days: 40 * 365 });
    const file = join(directory, "far.pem");
    await writeFile(file, far.certificatePem);
    const { stdout } = await run("openssl", ["verify", "-x509_strict", "-CAfile", file, file]);
    expect(stdout).toContain(": OK");
  });
});

describe("python", requires("python3"), () => {
  const SCRIPT = `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as raw:
    with context.wrap_socket(raw, server_hostname=sys.argv[3]) as tls:
        print(tls.version(), tls.recv(5).decode())
`;
  it.each(HOSTS)("shakes hands in strict mode: %s", async (host) => {
    const server = await serve(host);
    try {
      const args = ["-c", SCRIPT, caFile, `${portOf(server)}`, host];
      const { stdout } = await run("python3", args);
      expect(stdout.trim()).toBe("TLSv1.3 hello");
    } finally {
      server.close();
    }
  });
});

describe("node", () => {
  const greet = async (server: Server, servername: string): Promise<string> => {
    const socket = connect({
      host: "127.0.0.1",
      port: portOf(server),
      servername,
      ca: authority.certificatePem,
    });
    try {
      const [data] = await once(socket, "data");
      return `${socket.authorized} ${data}`;
    } finally {
      socket.destroy();
    }
  };

  it("shakes hands with the authority alone", async () => {
    const server = await serve("api.example.com");
    await expect(greet(server, "api.example.com")).resolves.toBe("true hello");
    await expect(greet(server, "evil.test")).rejects.toThrow(/does not match/);
    server.close();
  });
});
