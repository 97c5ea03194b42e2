// The error codes as scripts and docs know them: a code is never renamed, only added.
import { expect, it } from "vitest";
import { ERROR_CODES, EXIT_OWN_FAILURE, EXIT_STATUS } from "../../src/base/error-codes.ts";

const PINNED = {
  "usage.invalid": "usage",
  "usage.unknown-command": "usage",
  "usage.prompt-needed": "usage",
  "usage.not-a-terminal": "usage",
  "usage.unknown-bottle": "usage",
  "usage.ambiguous-bottle": "usage",
  "usage.not-running": "usage",
  "usage.path": "usage",
  "manifest.invalid": "manifest",
  "manifest.unknown-agent": "manifest",
  "manifest.unknown-bottle": "manifest",
  "manifest.unreadable": "manifest",
  "manifest.duplicate": "manifest",
  "manifest.untrusted": "manifest",
  "manifest.unsupported": "manifest",
  "manifest.missing-variable": "manifest",
  "manifest.secret-file": "manifest",
  "host.binary-missing": "host",
  "host.userns-forbidden": "host",
  "host.no-backend": "host",
  "host.backend-unavailable": "host",
  "host.limit-unavailable": "host",
  "host.disk-full": "host",
  "host.unwritable": "host",
  "host.agent-missing": "host",
  "host.node-missing": "host",
  "launch.declined": "launch",
  "launch.name-taken": "launch",
  "launch.image": "launch",
  "launch.no-subnet": "launch",
  "launch.workspace": "launch",
  "launch.backend": "launch",
  "launch.guest-init": "launch",
  "launch.door": "launch",
  "launch.not-isolated": "launch",
  "launch.provision": "launch",
  "launch.agent": "launch",
  "launch.copy": "launch",
  "launch.audit": "launch",
  "launch.host-login": "launch",
  "launch.secret-command": "launch",
  "policy.denied": "denied",
  "sidecar.start": "sidecar",
  "sidecar.died": "sidecar",
  "protocol.frame": "protocol",
  "protocol.message": "protocol",
  "protocol.closed": "protocol",
  "protocol.record": "protocol",
  "protocol.audit": "protocol",
  "timeout.deadline": "timeout",
  "cancelled.signal": "cancelled",
  "bug.invariant": "bug",
  "process.failed": "launch",
};

it("keeps every code and its class", () => {
  const kinds = Object.entries(ERROR_CODES).map(([code, { kind }]) => [code, kind]);
  expect(Object.fromEntries(kinds)).toEqual(PINNED);
});

it("has a title for each, in the grammar of messages", () => {
  for (const [code, { title }] of Object.entries(ERROR_CODES)) {
    expect(code).toMatch(/^[a-z]+\.[a-z]+(-[a-z]+)*$/);
    expect(title).toMatch(/^[a-z].*[^.]$/);
  }
});

it("keeps the exit status of each class", () => {
  expect(EXIT_STATUS).toEqual({
    usage: 64,
    host: 69,
    bug: 70,
    launch: 71,
    sidecar: 72,
    timeout: 75,
    protocol: 76,
    denied: 77,
    manifest: 78,
    cancelled: 130,
  });
  expect(EXIT_OWN_FAILURE).toBe(125);
});
