/** The login of Claude Code on the operator's machine. */
import {
  fieldOf,
  type HostLoginSource,
  type ParsedHostLogin,
  parseLoginFile,
  tokenSecret,
} from "./host-login.ts";

/** Where Claude Code keeps its login on Linux. */
export const claudeLogin: HostLoginSource = {
  file: ".claude/.credentials.json",
  directoryVariable: "CLAUDE_CONFIG_DIR",
  fileName: ".credentials.json",
  renewal: "run claude on this machine, and /login in it where it asks for that",
  parse,
};

function parse(text: string): ParsedHostLogin {
  const oauth = fieldOf(parseLoginFile(text), "claudeAiOauth");
  if (oauth === undefined) return { ok: false, reason: "is none of a Claude account" };
  const token = tokenSecret("CLAUDE_LOGIN", fieldOf(oauth, "accessToken"));
  const expiresAtMs = fieldOf(oauth, "expiresAt");
  if (token === undefined) return { ok: false, reason: "has no access token" };
  if (typeof expiresAtMs !== "number" || !Number.isSafeInteger(expiresAtMs)) {
    return { ok: false, reason: "does not say until when it is valid" };
  }
  return { ok: true, token, login: { expiresAtMs, account: {} } };
}
