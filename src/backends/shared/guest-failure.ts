/** Words for what a guest reports: its text is hostile, so nothing in it may move a terminal's cursor or look like ours. */
import { LaunchError, ProtocolError } from "../../base/errors.ts";
import type { GuestReport } from "../../protocol/guest.ts";

type Failed = Extract<GuestReport, { kind: "failed" }>;

/** Longest text of a guest that is shown. */
const MAX_SHOWN = 500;

/** A guest's text on one line, without control, format and direction characters. */
export function printable(text: string): string {
  return text.slice(0, MAX_SHOWN).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}

/** The error of an order that the guest says has failed. */
export function failedError(
  code: "launch.agent" | "launch.copy" | "launch.guest-init",
  what: string,
  report: Failed,
): LaunchError {
  return new LaunchError(code, `${what}: ${printable(report.message)}`, {
    details: { code: report.code },
  });
}

/**
 * The error of a program that was not started. Where the report came through another of us, it begins as ours does: that is
 * said once.
 */
export function notStarted(program: string, report: Failed): LaunchError {
  const own = [`program ${program} not started in the guest: `, `program ${program} not started: `];
  let { message } = report;
  for (const prefix of own) if (message.startsWith(prefix)) message = message.slice(prefix.length);
  const what = `program ${program} not started in the guest`;
  return failedError("launch.agent", what, { ...report, message });
}

/** The error of whatever was under way when the guest went. */
export function goneError(): LaunchError {
  return new LaunchError("launch.guest-init", "the guest is gone: its connection ended");
}

/** The fault of a report that does not belong where it came. */
export function unexpected(report: GuestReport, where: string): ProtocolError {
  return new ProtocolError("protocol.message", `the guest sent "${report.kind}" ${where}`);
}
