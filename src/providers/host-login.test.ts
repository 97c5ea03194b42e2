// Logins of agents: what is taken of their files, and what stands in their place in the guest.
import { describe, expect, it } from "vitest";
import { parseGuestPath } from "../base/ids.ts";
import { claudeLogin } from "./claude-login.ts";
import { codex } from "./codex.ts";
import { codexLogin } from "./codex-login.ts";
import { fieldOf, readClaims } from "./host-login.ts";

const ENDS = 1_900_000_000;
const jwt = (claims: object): string =>
  `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.sig`;
const ACCESS = jwt({ exp: ENDS });
const AUTH = "https://api.openai.com/auth";
const codexFile = (tokens: unknown, more: object = {}): string =>
  JSON.stringify({ OPENAI_API_KEY: null, tokens, ...more });

describe("the login of claude", () => {
  it("is its access token until its end", () => {
    const file = {
      claudeAiOauth: {
        accessToken: "sk-ant-oat01-real",
        refreshToken: "r",
        expiresAt: ENDS * 1000,
      },
    };
    const parsed = claudeLogin.parse(JSON.stringify(file));
    expect(parsed.ok && [parsed.token.reveal(), parsed.login.expiresAtMs]).toEqual([
      "sk-ant-oat01-real",
      ENDS * 1000,
    ]);
  });

  it.each([
    "",
    "{",
    "[]",
    "{}",
    '{"claudeAiOauth":{}}',
    '{"claudeAiOauth":{"accessToken":"sk-ant-oat01-real"}}',
    '{"claudeAiOauth":{"accessToken":"two\\nlines","expiresAt":1}}',
    '{"claudeAiOauth":{"accessToken":7,"expiresAt":1}}',
    '{"claudeAiOauth":{"accessToken":"sk-ant-oat01-real","expiresAt":"soon"}}',
  ])("is not %j, and no word of it is repeated", (text) => {
    const parsed = claudeLogin.parse(text);
    expect(parsed.ok ? "" : parsed.reason).toMatch(/^[a-z]/);
    expect(parsed.ok ? "" : parsed.reason).not.toContain("sk-ant");
  });
});

describe("the login of codex", () => {
  it("is its access token with its end and account", () => {
    const id_token = jwt({ [AUTH]: { chatgpt_plan_type: "plus" }, email: "a@example.com" });
    const parsed = codexLogin.parse(
      codexFile({ access_token: ACCESS, id_token, account_id: "acc-1" }),
    );
    expect(parsed.ok && parsed.login).toEqual({
      expiresAtMs: ENDS * 1000,
      account: { id: "acc-1", plan: "plus" },
    });
  });

  it.each([
    [codexFile(null, { OPENAI_API_KEY: "sk-real-key" }), "is an API key"],
    [codexFile(null), "is none"],
    ["nonsense", "is none"],
    [codexFile({ access_token: "not.a-token" }), "until when"],
    [codexFile({ access_token: jwt({}) }), "until when"],
    [codexFile({}), "no access token"],
  ])("is not %s", (text, reason) => {
    const parsed = codexLogin.parse(text);
    expect(parsed.ok ? "" : parsed.reason).toContain(reason);
    expect(parsed.ok ? "" : parsed.reason).not.toContain("sk-real");
  });

  it("has a stand-in with the same end, which holds the placeholder and nothing real", () => {
    const parsed = codexLogin.parse(codexFile({ access_token: ACCESS, account_id: "acc-1" }));
    const plan = codex.describe({
      guestHome: parseGuestPath("/home/node"),
      workdir: parseGuestPath("/home/node/workspace"),
      hasPrompt: false,
      promptPath: parseGuestPath("/home/node/p"),
      promptText: "",
      placeholder: "bot-bottle-placeholder-00-0",
      authKind: "bearer",
      hostLogin: parsed.ok ? parsed.login : undefined,
      settings: {},
      label: undefined,
      caBundlePath: parseGuestPath("/etc/ca"),
    });
    expect(plan.routes).toEqual([{ host: "chatgpt.com", carrier: { kind: "bearer" } }]);
    const text = plan.files.find((it) => it.path.endsWith("auth.json"))?.content ?? "";
    expect(text).not.toContain(ACCESS);
    const file: unknown = JSON.parse(text);
    const token = fieldOf(file, "tokens", "access_token");
    expect(fieldOf(readClaims(token), "exp")).toBe(ENDS);
    expect(token).toMatch(/\.bot-bottle-placeholder-00-0$/);
    expect(fieldOf(file, "tokens", "account_id")).toBe("acc-1");
    expect(fieldOf(file, "tokens", "refresh_token")).toBe("bot-bottle-placeholder-00-0");
  });
});
