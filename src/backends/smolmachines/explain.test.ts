// What smolvm says, as recorded from it, becomes the class, the words and the hint that a user needs.
import { describe, expect, it } from "vitest";
import { explainExit, lastWords } from "./explain.ts";

const failed = (stderr: string) => ({
  exitCode: 1,
  signal: undefined,
  stdout: Buffer.alloc(0),
  stderr: Buffer.from(stderr),
});

describe("explainExit", () => {
  it("knows a device that may not be opened in the words it is buried in", () => {
    const error = explainExit(
      "machine not started",
      failed(
        "Starting machine 'a2'...\n2026-11-21T10:13:17.0Z  WARN VMM exited with code 1 pid=1 cause=Exited\nError: agent operation failed: monitor agent: Then log out and log back in for the change to take effect.); libkrun detail: build microVM: Internal error while starting microVM: KvmContext(KvmOpen(Error(13))) (boot process exited (code 1) before the agent was ready)\n",
      ),
    );
    expect(error.code).toBe("host.backend-unavailable");
    expect(error.message).toContain("/dev/kvm may not be opened");
    expect(error.hint).toContain("usermod -aG kvm");
  });

  it("knows a machine that does not boot", () => {
    const said = "Error: agent operation failed: agent did not become ready within 180 seconds\n";
    const error = explainExit("machine not started", failed(said));
    expect(error.code).toBe("host.backend-unavailable");
    expect(error.message).toContain("the machine did not boot");
  });

  it("shows what it does not know, bounded and on one line", () => {
    const error = explainExit(
      "machine not created",
      failed(`Error: \u001b[31mred ${"x".repeat(900)}\n`),
    );
    expect(error.code).toBe("launch.backend");
    expect(error.message).not.toContain("\u001b");
    expect(error.message.length).toBeLessThan(600);
  });

  it("does without words", () => {
    expect(explainExit("machine not created", failed("")).message).toContain("it said nothing");
  });
});

describe("lastWords", () => {
  it("prefers the error to what follows it", () => {
    expect(lastWords("Error: first\n  tip: later\n")).toBe("first");
    expect(lastWords("note: no packed assets found\n")).toBeUndefined();
  });
});
