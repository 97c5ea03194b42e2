// The fake model APIs over real TLS: only the real credential is answered, and a prompt scripts the tool calls.
import { request } from "node:https";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ANTHROPIC_HOST, openFakeAnthropic } from "../../src/testing/fake-anthropic.ts";
import type { FakeModelApi } from "../../src/testing/fake-model-server.ts";
import { OPENAI_HOST, openFakeOpenAi } from "../../src/testing/fake-openai.ts";
import { createAuthority } from "../../src/tls/authority.ts";
import { createLeafMinter } from "../../src/tls/leaf.ts";

const authority = createAuthority({ commonName: "test", now: Date.now() });
const minter = createLeafMinter({ ...authority, now: Date.now });

type Reply = { status: number; type: string; body: string };

function call(
  api: FakeModelApi,
  path: string,
  options: { host: string; headers?: Record<string, string>; body?: unknown },
): Promise<Reply> {
  const { host, headers = {}, body } = options;
  return new Promise((resolve, reject) => {
    const req = request(
      {
        host: "127.0.0.1",
        port: api.port,
        path,
        method: body === undefined ? "GET" : "POST",
        servername: host,
        ca: authority.certificatePem,
        headers: { host, ...headers },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            type: response.headers["content-type"] ?? "",
            body: text,
          }),
        );
      },
    );
    req.on("error", reject);
    req.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function identity(host: string): { certificate: string; key: string } {
  const leaf = minter.mint(host);
  return { certificate: leaf.certPem, key: leaf.keyPem };
}

const events = (reply: Reply) =>
  [...reply.body.matchAll(/^data: (.*)$/gm)].map((match) => JSON.parse(match[1] ?? ""));

describe("fake Anthropic", () => {
  let api: FakeModelApi;
  beforeAll(async () => {
    api = await openFakeAnthropic({ identity: identity(ANTHROPIC_HOST), credential: "sk-real" });
  });
  afterAll(() => api[Symbol.asyncDispose]());

  const ask = (
    headers: Record<string, string>,
    messages: unknown[],
    tools = ["Bash"],
  ): Promise<Reply> =>
    call(api, "/v1/messages?beta=true", {
      host: ANTHROPIC_HOST,
      headers,
      body: { model: "m", stream: true, tools: tools.map((name) => ({ name })), messages },
    });
  const prompt = { role: "user", content: [{ type: "text", text: "RUN: ls\nSAY: bye" }] };

  it.each<[string, Record<string, string>]>([
    ["none", {}],
    ["a placeholder", { authorization: "Bearer placeholder" }],
    [
      "a wrong key beside the real token",
      { authorization: "Bearer sk-real", "x-api-key": "other" },
    ],
  ])("answers 401 to %s", async (_what, headers) => {
    expect((await ask(headers, [prompt])).status).toBe(401);
  });

  it.each<Record<string, string>>([
    { authorization: "Bearer sk-real" },
    { "x-api-key": "sk-real" },
  ])("calls the scripted command, then says the last word: %j", async (headers) => {
    const first = await ask(headers, [prompt]);
    expect(first.type).toBe("text/event-stream");
    expect(events(first)[1].content_block).toMatchObject({ type: "tool_use", name: "Bash" });
    expect(JSON.parse(events(first)[2].delta.partial_json).command).toBe("ls");
    const result = { type: "tool_result", tool_use_id: "x", content: "a.txt" };
    const second = await ask(headers, [prompt, { role: "user", content: [result] }]);
    expect(events(second)[2].delta.text).toBe("bye\ntool output: a.txt");
    expect(events(second).at(-1).type).toBe("message_stop");
  });

  it("makes no tool call where no shell is offered, and has nothing at other paths", async () => {
    const headers = { authorization: "Bearer sk-real" };
    expect(events(await ask(headers, [prompt], []))[2].delta.text).toBe("done");
    const side = await call(api, "/api/claude_code/settings", { host: ANTHROPIC_HOST, headers });
    expect(side.status).toBe(404);
  });

  it("keeps what it was sent", () => {
    const last = api.requests.at(-1);
    expect(last).toMatchObject({ method: "GET", host: ANTHROPIC_HOST, status: 404 });
    expect(api.requests.some((it) => it.headers["x-api-key"] === "sk-real")).toBe(true);
  });
});

describe("fake OpenAI", () => {
  let api: FakeModelApi;
  beforeAll(async () => {
    api = await openFakeOpenAi({ identity: identity(OPENAI_HOST), credential: "sk-real" });
  });
  afterAll(() => api[Symbol.asyncDispose]());

  const headers = { authorization: "Bearer sk-real" };
  const prompt = {
    type: "message",
    role: "user",
    content: [{ type: "input_text", text: "RUN: ls" }],
  };
  const ask = (input: unknown[], tools: unknown[], given = headers): Promise<Reply> =>
    call(api, "/v1/responses", {
      host: OPENAI_HOST,
      headers: given,
      body: { model: "m", input, tools },
    });

  it("answers 401 without the real credential and 426 to a WebSocket", async () => {
    expect((await ask([prompt], [], { authorization: "Bearer placeholder" })).status).toBe(401);
    const upgrade = { ...headers, connection: "upgrade", upgrade: "websocket" };
    expect((await call(api, "/v1/responses", { host: OPENAI_HOST, headers: upgrade })).status).toBe(
      426,
    );
  });

  it("calls the shell in the form that is offered", async () => {
    const classic = events(await ask([prompt], [{ type: "function", name: "exec_command" }]));
    expect(classic[2].item).toMatchObject({ type: "function_call", name: "exec_command" });
    expect(JSON.parse(classic[2].item.arguments)).toEqual({ cmd: "ls" });
    const code = events(await ask([prompt], []));
    expect(code[2].item).toMatchObject({ type: "custom_tool_call", name: "exec" });
    expect(code[2].item.input).toContain('tools.exec_command({"cmd":"ls"})');
  });

  it("says the last word with the command's output", async () => {
    const output = { type: "function_call_output", call_id: "x", output: "a.txt" };
    const reply = events(await ask([prompt, output], []));
    expect(reply[2].item.content[0].text).toBe("done\ntool output: a.txt");
    expect(reply.at(-1).type).toBe("response.completed");
  });
});
