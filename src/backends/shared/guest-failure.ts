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

/** The error of whatever was under way when the guest went. */
export function goneError(): LaunchError {
  return new LaunchError("launch.guest-init", "the guest is gone: its connection ended");
}

/** The fault of a report that does not belong where it came. */
export function unexpected(report: GuestReport, where: string): ProtocolError {
  return new ProtocolError("protocol.message", `the guest sent "${report.kind}" ${where}`);
}
