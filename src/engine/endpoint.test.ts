import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { tempDir } from "../../test/support/temp-dir.ts";
import { resolveEndpoint } from "./endpoint.ts";

/** A home with a docker configuration and one context. */
function homeWith(config: string | undefined, context?: { name: string; meta: string }): string {
  const home = tempDir("engine-home-");
  const docker = join(home, ".docker");
  mkdirSync(docker);
  if (config !== undefined) writeFileSync(join(docker, "config.json"), config);
  if (context !== undefined) {
    const digest = createHash("sha256").update(context.name).digest("hex");
    const directory = join(docker, "contexts", "meta", digest);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "meta.json"), context.meta);
  }
  return home;
}

const meta = (host: string): string =>
  JSON.stringify({ Name: "dev", Metadata: {}, Endpoints: { docker: { Host: host } } });

describe("resolveEndpoint", () => {
  it("takes DOCKER_HOST before every context", () => {
    const home = homeWith('{"currentContext":"dev"}', {
      name: "dev",
      meta: meta("unix:///dev.sock"),
    });
    const env = { HOME: home, DOCKER_HOST: "unix:///given.sock", DOCKER_CONTEXT: "dev" };
    expect(resolveEndpoint(env)).toEqual({
      kind: "unix",
      path: "/given.sock",
      source: "DOCKER_HOST",
    });
  });

  it("follows DOCKER_CONTEXT and the current context to their sockets", () => {
    const home = homeWith('{"currentContext":"dev","auths":{}}', {
      name: "dev",
      meta: meta("unix:///dev.sock"),
    });
    expect(resolveEndpoint({ HOME: home })).toMatchObject({ path: "/dev.sock" });
    expect(resolveEndpoint({ HOME: home, DOCKER_CONTEXT: "dev" })).toMatchObject({
      path: "/dev.sock",
      source: expect.stringContaining("DOCKER_CONTEXT"),
    });
    expect(resolveEndpoint({ HOME: home, DOCKER_CONTEXT: "default" })).toMatchObject({
      source: "default",
    });
  });

  it("finds the configuration where DOCKER_CONFIG says", () => {
    const home = homeWith('{"currentContext":"dev"}', {
      name: "dev",
      meta: meta("unix:///c.sock"),
    });
    const env = { HOME: "/nowhere", DOCKER_CONFIG: join(home, ".docker") };
    expect(resolveEndpoint(env)).toMatchObject({ path: "/c.sock" });
  });

  it("names a context that does not exist", () => {
    expect(() => resolveEndpoint({ HOME: homeWith(undefined), DOCKER_CONTEXT: "gone" })).toThrow(
      /docker context "gone" \(DOCKER_CONTEXT\) does not exist/,
    );
  });

  it.each(["{", '{"currentContext": 3}'])("says that the configuration %s is broken", (config) => {
    expect(() => resolveEndpoint({ HOME: homeWith(config) })).toThrow(
      /config\.json cannot be used/,
    );
  });

  it("refuses ssh and says why, in a context too", () => {
    expect(() => resolveEndpoint({ DOCKER_HOST: "ssh://me@far" })).toThrow(/over ssh:\/\//);
    const home = homeWith('{"currentContext":"dev"}', { name: "dev", meta: meta("ssh://far") });
    expect(() => resolveEndpoint({ HOME: home })).toThrow(/ssh:\/\/far.*directories are not/);
  });

  it.each(["npipe:////./pipe/docker", "unix://relative.sock", "tcp://", "docker"])(
    "refuses %s",
    (host) => {
      expect(() => resolveEndpoint({ DOCKER_HOST: host })).toThrow(/cannot be used/);
    },
  );

  it("speaks TLS where DOCKER_TLS_VERIFY asks for it, with the files of DOCKER_CERT_PATH", () => {
    const directory = tempDir("engine-certs-");
    writeFileSync(join(directory, "ca.pem"), "");
    const env = { DOCKER_HOST: "tcp://far", DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: directory };
    expect(resolveEndpoint(env)).toMatchObject({
      host: "far",
      port: 2376,
      tls: { caFile: join(directory, "ca.pem"), certFile: undefined, verify: true },
    });
    expect(resolveEndpoint({ DOCKER_HOST: "tcp://[::1]:7777" })).toMatchObject({
      host: "::1",
      port: 7777,
      tls: undefined,
    });
  });
});
