/** The guest's ~/.gitconfig: who the agent's commits say they are from. Claimed, not vouched for; it grants nothing. Pure. */
import { ManifestError } from "../base/errors.ts";
import { type GuestPath, parseGuestPath } from "../base/ids.ts";
import type { GitUser } from "../manifest/types.ts";
import type { ProvisionedFile } from "../providers/provider.ts";

/**
 * ~/.gitconfig with the bottle's identity under the agent's own, field by field; undefined when there is none. Throws
 * ManifestError.
 */
export function gitConfigFile(
  guestHome: GuestPath,
  users: { readonly bottle: GitUser; readonly agent: GitUser },
): ProvisionedFile | undefined {
  const { bottle, agent } = users;
  const lines = [
    line("name", given(agent.name) ?? bottle.name),
    line("email", given(agent.email) ?? bottle.email),
  ].join("");
  if (lines === "") return undefined;
  return {
    path: parseGuestPath(`${guestHome}/.gitconfig`),
    mode: 0o644,
    content: `[user]\n${lines}`,
  };
}

function given(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === "" ? undefined : value;
}

function line(key: "name" | "email", value: string | undefined): string {
  if (value === undefined || value.trim() === "") return "";
  // A newline would begin a section of its own: core.sshCommand, core.hooksPath, …
  if (!/^[^\p{Cc}]*$/u.test(value)) {
    throw new ManifestError(
      "manifest.invalid",
      `manifest invalid: git-gate.user.${key} holds a control character; one line of text is expected`,
    );
  }
  return `\t${key} = "${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"\n`;
}
