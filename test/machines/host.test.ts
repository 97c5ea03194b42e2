// The emulated host itself, as a tool: what it passes on, what it leaves, and when it is tried again.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { findDeadRuns } from "../hosts/leftovers.ts";
import { withMachineHost } from "../support/machine-tests.ts";
import { requires } from "../support/requires.ts";
import { HostHungError, INSIDE, openMachineHost } from "../support/smolvm-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const runs = (): readonly string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith(`bb-host-${process.pid}-`));

describe("the emulated host", requires("emulated-host"), () => {
  test("runs programs, shares folders, and goes without a trace", async () => {
    const host = await openMachineHost();
    const both = await host.exec(["sh", "-c", "cat; echo err >&2; exit 5"], { input: "in\0put" });
    expect(both).toEqual({ stdout: "in\0put", stderr: "err\n", status: 5 });
    expect(await host.exec(["sh", "-c", "kill -9 $$"])).toMatchObject({ status: 137 });
    expect(await host.exec(["no-such-program"])).toMatchObject({ status: 127 });
    expect(await host.exec(["sleep", "60"], { timeoutMs: 300 })).toMatchObject({ status: 124 });
    expect(await host.exec(["id", "-u"], { uid: 1000 })).toMatchObject({ stdout: "1000\n" });
    writeFileSync(join(host.share, "in"), "from outside");
    const copy = `cat ${INSIDE.io}/in; cp ${INSIDE.checkout}/package.json ${INSIDE.io}/out`;
    expect(await host.exec(["sh", "-c", copy])).toMatchObject({ stdout: "from outside" });
    expect(readFileSync(join(host.share, "out"), "utf8")).toContain('"bot-bottle"');
    const write = await host.exec(["touch", `${INSIDE.checkout}/new`]);
    expect(write.status).toBe(1);
    await host[Symbol.asyncDispose]();
    expect(existsSync(`/proc/${host.pid}`)).toBe(false);
    expect(runs()).toEqual([]);
  });

  test("is a fresh one each time, with the hour of now, several at once", async () => {
    await using one = await openMachineHost();
    await using other = await openMachineHost();
    await one.exec(["touch", "/root/mine", "/run/mine"]);
    const seen = await other.exec(["sh", "-c", "ls /root/mine /run/mine; date +%s"]);
    expect(seen.stderr).toMatch(/mine.*\n.*mine/);
    expect(Math.abs(Number(seen.stdout) - Date.now() / 1000)).toBeLessThan(30);
  });

  test("has no network and no way to the machine around it", async () => {
    await using host = await openMachineHost();
    const links = await host.exec([
      "sh",
      "-c",
      "ls /sys/class/net; ls /sys/bus/pci/devices | wc -l",
    ]);
    expect(links.stdout).toMatch(/^dummy0\nlan\nlo\n\d+\n$/);
    const out = await host.exec(["curl", "-sS", "--max-time", "3", "http://192.0.2.1/"]);
    expect(out.status).not.toBe(0);
  });

  test("is tried once more where it hangs, and that is counted", async () => {
    const counts = join(tempDir("bb-counts-"), "counts");
    const before = process.env["TEST_COUNTS"];
    process.env["TEST_COUNTS"] = counts;
    try {
      let tries = 0;
      const what = { what: "a try", deadlineMs: 60_000 };
      const hang = withMachineHost(what, () =>
        Promise.reject(new HostHungError(`${(tries += 1)}`)),
      );
      await expect(hang).rejects.toThrow("2");
      expect(JSON.parse(readFileSync(counts, "utf8"))).toMatchObject({ retried: ["a try: 1"] });
      const fail = withMachineHost(what, () => Promise.reject(new Error(`${(tries += 1)}`)));
      await expect(fail).rejects.toThrow("3");
      expect(readFileSync(counts, "utf8").trim().split("\n")).toHaveLength(1);
    } finally {
      if (before === undefined) delete process.env["TEST_COUNTS"];
      else process.env["TEST_COUNTS"] = before;
    }
    expect(runs()).toEqual([]);
  });

  test("dies with the process that opened it", async () => {
    const program = join(import.meta.dirname, "../hosts/open-and-wait.ts");
    const opener = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(opener.stdout.setEncoding("utf8"), "data")) as [string];
    const { pid, directory } = JSON.parse(line) as { pid: number; directory: string };
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    opener.kill("SIGKILL");
    await vi.waitFor(() => expect(existsSync(`/proc/${pid}`)).toBe(false), 5000);
    // Whoever opens a host next removes what is left, in whichever process.
    await using next = await openMachineHost();
    expect([existsSync(directory), existsSync(next.directory)]).toEqual([false, true]);
    expect(findDeadRuns()).not.toContain(directory);
  });
});
