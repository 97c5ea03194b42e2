// The docker command for tests: bounded, since a command that waits for ever stops the whole file, time limits included.
import { execFileSync } from "node:child_process";

const DEADLINE_MS = 90_000;

/** What it prints, untouched; throws where it fails, or has not ended in a minute and a half. */
export function dockerRaw(args: readonly string[], input?: string): string {
  return execFileSync("docker", [...args], {
    encoding: "utf8",
    timeout: DEADLINE_MS,
    killSignal: "SIGKILL",
    stdio: ["pipe", "pipe", "pipe"],
    input: input ?? "",
  });
}

/** What it prints, trimmed. */
export function docker(...args: readonly string[]): string {
  return dockerRaw(args).trim();
}

/** The address of this machine that a container of the engine reaches. */
export function bridgeAddress(): string {
  return docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}");
}
