import { describe, expect, it } from "vitest";
import {
  BugError,
  CancelledError,
  HostError,
  LaunchError,
  ManifestError,
  UsageError,
} from "../base/errors.ts";
import {
  endedStatus,
  type FailureOptions,
  notExecutableStatus,
  reportFailure,
  signalStatus,
  statusOf,
} from "./exit.ts";
import { createOutput, type Output } from "./output.ts";

/** What a failure says and how it ends. */
function report(
  thrown: unknown,
  options: Partial<FailureOptions> = {},
): { status: number; text: string; json: unknown } {
  const said: string[] = [];
  let json: unknown;
  const output: Output = {
    ...createOutput(false),
    error: (text) => said.push(text),
    json: (value) => {
      json = JSON.parse(JSON.stringify(value));
    },
  };
  const defaults = { isJson: false, passesStatus: false, isDebug: false };
  const status = reportFailure(thrown, output, { ...defaults, ...options });
  return { status, text: said.join("\n"), json };
}

const system = (code: string): Error =>
  Object.assign(new Error(`${code}: no, open '/x'`), { code });

describe("exit status", () => {
  it.each([
    [new UsageError("usage.invalid", "x"), 64],
    [new ManifestError("manifest.invalid", "x"), 78],
    [new HostError("host.no-backend", "x"), 69],
    [new LaunchError("launch.door", "x"), 71],
    [new BugError("x"), 70],
    [new TypeError("x"), 70],
    ["a string", 70],
    [system("EACCES"), 69],
    [system("ENOSPC"), 69],
    [system("EIO"), 70],
  ])("of %s is %i, and 125 where the agent's status passes through", (thrown, expected) => {
    expect(report(thrown).status).toBe(expected);
    expect(report(thrown, { passesStatus: true }).status).toBe(125);
  });

  it("of a signal is 128 + its number everywhere", () => {
    const cancelled = new CancelledError("stopped by SIGTERM", { signal: "SIGTERM" });
    expect(report(cancelled).status).toBe(143);
    expect(report(cancelled, { passesStatus: true }).status).toBe(143);
    expect([signalStatus("SIGINT"), signalStatus("SIGPIPE")]).toEqual([130, 141]);
  });

  it("of a program passes through", () => {
    expect(statusOf({ exitCode: 7, signal: undefined })).toBe(7);
    expect(statusOf({ exitCode: undefined, signal: "SIGKILL" })).toBe(137);
  });

  it("of a program that cannot be executed is the shell's", () => {
    const failed = (code: string): LaunchError =>
      new LaunchError("launch.agent", "x", { details: { code } });
    expect(notExecutableStatus(failed("ENOENT"))).toBe(127);
    expect(notExecutableStatus(failed("EACCES"))).toBe(126);
    expect(notExecutableStatus(failed("failed"))).toBeUndefined();
    expect(notExecutableStatus(system("ENOENT"))).toBeUndefined();
  });

  it("of following is that of the signal that ended it", () => {
    const cancel = new AbortController();
    expect(endedStatus(cancel.signal)).toBe(0);
    cancel.abort(new CancelledError("x", { signal: "SIGTERM" }));
    expect(endedStatus(cancel.signal)).toBe(143);
  });
});

describe("text of a failure", () => {
  it("is code, message and hint, short for user mistakes", () => {
    const { text } = report(new UsageError("usage.invalid", "wrong", { hint: "do it right" }));
    expect(text).toBe("error [usage.invalid] wrong\nhint: do it right");
  });

  it("has the stack of a bug, and of everything when debugging", () => {
    expect(report(new TypeError("odd")).text).toContain("caused by:\nTypeError: odd");
    expect(report(new UsageError("usage.invalid", "x"), { isDebug: true }).text).toContain("at ");
  });

  it("shows issues that the message does not hold, and each only once", () => {
    const issue = {
      file: "a.md",
      line: 3,
      column: 5,
      path: "env",
      message: "env is 5",
      hint: undefined,
    };
    const whole = new ManifestError("manifest.invalid", "manifest invalid: a.md:3:5: env is 5", {
      issues: [issue],
    });
    expect(report(whole).text.match(/env is 5/g)).toHaveLength(1);
    const bare = new ManifestError("manifest.invalid", "broken", { issues: [issue] });
    expect(report(bare).text).toContain("  a.md:3:5: env is 5");
  });

  it("lets no control character of a guest or a file through", () => {
    const error = new LaunchError("process.failed", "a\u001b]0;x\u0007b\u009bc\u202ed", {
      details: { stderr: ["\u001b[2Jgone"] },
      hint: "\rx",
    });
    const { text } = report(error);
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(text).toContain("a\\x1b]0;x\\x07b\\x9bc\\u202ed");
    expect(text).toContain("  | \\x1b[2Jgone");
  });

  it("is JSON on request, with whose status it is", () => {
    const error = new ManifestError("manifest.invalid", "x", { hint: "h" });
    expect(report(error, { isJson: true, passesStatus: true })).toMatchObject({
      text: "",
      json: {
        error: { code: "manifest.invalid", message: "x", hint: "h", status: 125, by: "bot-bottle" },
      },
    });
  });
});
