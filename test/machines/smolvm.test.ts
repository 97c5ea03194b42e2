// The real smolvm in the emulated host: what the backend relies on, seen without the backend.
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { withMachineHost } from "../support/machine-tests.ts";
import { requires } from "../support/requires.ts";
import { HostHungError, INSIDE, type MachineHost } from "../support/smolvm-host.ts";

const MINUTE_MS = 60_000;
const GUEST = ["exec", "--name", "m1", "--"];

const smolvm = (host: MachineHost, ...argv: string[]): ReturnType<MachineHost["exec"]> =>
  host.exec(["smolvm", "machine", ...argv], { env: { HOME: "/root/state" } });

for (const version of ["1.32.2", "1.8.1"] as const) {
  test(`smolvm ${version} lives and leaves nothing`, requires("emulated-host"), async () => {
    const deadlineMs = 3 * MINUTE_MS;
    const seen = await withMachineHost({ version, what: `smolvm ${version}`, deadlineMs }, life);
    expect(seen.version).toBe(`smolvm ${version}\n`);
    expect(seen.result).toMatchObject({ stdout: "out v24\n", stderr: "err\n", status: 7 });
    expect(seen.interfaces).toBe("dummy0\nlo\n");
    expect(seen.machines).toBe("[]\n");
    expect(existsSync(seen.directory)).toBe(false);
    expect(existsSync(`/proc/${seen.pid}`)).toBe(false);
  });
}

async function life(host: MachineHost) {
  const version = await host.exec(["smolvm", "--version"]);
  const image = ["--image", INSIDE.image, "--cpus", "1", "--mem", "512"];
  // 1.8.1 refuses to start a folder without a command.
  const create = ["create", "--name", "m1", ...image, "--", "sleep", "infinity"];
  expect(await smolvm(host, ...create)).toMatchObject({ status: 0 });
  const start = await smolvm(host, "start", "--name", "m1");
  // smolvm's own limit is made for real machines.
  if (start.stderr.includes("not become ready within")) throw new HostHungError(start.stderr);
  expect(start).toMatchObject({ status: 0 });
  const script = "echo out $(node -p 'process.version.slice(0, 3)'); echo err >&2; exit 7";
  const result = await smolvm(host, ...GUEST, "sh", "-c", script);
  const interfaces = await smolvm(host, ...GUEST, "ls", "/sys/class/net");
  await smolvm(host, "delete", "-f", "--name", "m1");
  const machines = await smolvm(host, "ls", "--json");
  const { pid, directory } = host;
  return {
    ...{ pid, directory, result, version: version.stdout },
    ...{ interfaces: interfaces.stdout, machines: machines.stdout },
  };
}
