import { describe, expect, it } from "vitest";
import { engineRefusal, engineStatus, engineUnreachable } from "./failure.ts";

const SOCKET = { kind: "unix", path: "/var/run/docker.sock", source: "default" } as const;

describe("engineRefusal", () => {
  it("repeats the engine's own words and keeps the status", () => {
    const error = engineRefusal('creating container "x"', 409, '{"message":"name in use"}');
    expect(error.message).toContain('the container engine says "name in use" (status 409)');
    expect(engineStatus(error)).toBe(409);
  });

  it("repeats what is no JSON, and says that nothing was said", () => {
    expect(engineRefusal("x", 502, "Bad Gateway").message).toContain('"Bad Gateway"');
    expect(engineRefusal("x", 500, "").message).toContain("no reason given");
  });

  it("tells a full disk by its class", () => {
    const body = '{"message":"write /var/lib/docker: no space left on device"}';
    expect(engineRefusal("x", 500, body)).toMatchObject({ code: "host.disk-full" });
  });
});

describe("engineUnreachable", () => {
  const failure = (code: string) => Object.assign(new Error(`connect ${code}`), { code });

  it.each([
    ["EACCES", /group docker|usermod -aG docker/],
    ["ECONNREFUSED", /start the container engine/],
    ["ENOENT", /install and start/],
  ])("gives the remedy of %s", (code, remedy) => {
    const error = engineUnreachable("x", SOCKET, failure(code));
    expect(error.code).toBe("host.backend-unavailable");
    expect(error.hint).toMatch(remedy);
    expect(error.message).toContain("/var/run/docker.sock (default)");
  });
});
