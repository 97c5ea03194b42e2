/** The ChatGPT login of Codex on the operator's machine, and what stands in its place in the guest. */
import {
  fieldOf,
  type HostLogin,
  type HostLoginSource,
  type ParsedHostLogin,
  parseLoginFile,
  readClaims,
  tokenSecret,
} from "./host-login.ts";

/** Where Codex keeps its login. */
export const codexLogin: HostLoginSource = {
  file: ".codex/auth.json",
  directoryVariable: "CODEX_HOME",
  fileName: "auth.json",
  renewal: "run codex on this machine, and codex login where it asks for that",
  parse,
};

/** Claim of OpenAI's tokens that describes the account. */
const AUTH_CLAIM = "https://api.openai.com/auth";

function parse(text: string): ParsedHostLogin {
  const file = parseLoginFile(text);
  const tokens = fieldOf(file, "tokens");
  if (tokens === undefined || tokens === null) {
    const hasKey = typeof fieldOf(file, "OPENAI_API_KEY") === "string";
    return {
      ok: false,
      reason: hasKey
        ? "is an API key; give that with agent_provider.auth_token"
        : "is none of a ChatGPT account",
    };
  }
  const access = fieldOf(tokens, "access_token");
  const token = tokenSecret("CODEX_LOGIN", access);
  if (token === undefined) return { ok: false, reason: "has no access token" };
  const expires = fieldOf(readClaims(access), "exp");
  if (typeof expires !== "number" || !Number.isSafeInteger(expires)) {
    return { ok: false, reason: "does not say until when it is valid" };
  }
  const account = accountOf(tokens);
  return { ok: true, token, login: { expiresAtMs: expires * 1000, account } };
}

/** The account's number and plan: Codex sends the one and behaves by the other. */
function accountOf(tokens: unknown): Readonly<Record<string, string>> {
  const claims = fieldOf(readClaims(fieldOf(tokens, "id_token")), AUTH_CLAIM);
  const id = plain(fieldOf(tokens, "account_id") ?? fieldOf(claims, "chatgpt_account_id"));
  const plan = plain(fieldOf(claims, "chatgpt_plan_type"));
  return { ...(id === undefined ? {} : { id }), ...(plan === undefined ? {} : { plan }) };
}

const plain = (value: unknown): string | undefined =>
  typeof value === "string" && /^[\w-]{1,128}$/.test(value) ? value : undefined;

/**
 * The guest's `auth.json`: tokens of the right form with the placeholder in them. They end when the real one does; with an
 * earlier end Codex would try to renew them itself.
 */
export function codexStandIn(placeholder: string, login: HostLogin): Record<string, unknown> {
  const { id, plan } = { id: login.account["id"], plan: login.account["plan"] };
  const claims = {
    exp: Math.floor(login.expiresAtMs / 1000),
    [AUTH_CLAIM]: {
      ...(id === undefined ? {} : { chatgpt_account_id: id }),
      ...(plan === undefined ? {} : { chatgpt_plan_type: plan }),
    },
  };
  const token = standInToken(claims, placeholder);
  return {
    auth_mode: "chatgpt",
    OPENAI_API_KEY: null,
    tokens: {
      id_token: token,
      access_token: token,
      refresh_token: placeholder,
      ...(id === undefined ? {} : { account_id: id }),
    },
    // Codex renews what it holds for old.
    last_refresh: new Date(login.expiresAtMs).toISOString(),
  };
}

/** A token whose signature is the placeholder: it parses like a real one, and egress knows it by that. */
function standInToken(claims: Record<string, unknown>, placeholder: string): string {
  const encode = (value: unknown): string =>
    Buffer.from(JSON.stringify(value), "utf8").toString("base64url");
  return `${encode({ alg: "none", typ: "JWT" })}.${encode(claims)}.${placeholder}`;
}
