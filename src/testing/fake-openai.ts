/**
 * A local stand-in for the OpenAI Responses API, enough for the real Codex: responses as server-sent events, one shell call
 * per `RUN:` line of the prompt in whichever form the request offers, 426 to WebSockets, 401 without the real credential.
 */
import * as z from "zod/mini";
import {
  type Answer,
  type Asked,
  type FakeModelApi,
  type FakeModelOptions,
  openFakeModelServer,
  renderEvents,
} from "./fake-model-server.ts";
import { type ModelStep, nextStep } from "./prompt-script.ts";

/** Host that the API stands in for. */
export const OPENAI_HOST = "api.openai.com";

const textPart = z.object({ text: z.string() });
const item = z.looseObject({
  type: z.optional(z.string()),
  role: z.optional(z.string()),
  content: z.optional(z.unknown()),
  output: z.optional(z.unknown()),
});
const request = z.looseObject({
  model: z.string(),
  input: z.array(item),
  tools: z.optional(z.array(z.unknown())),
});
type Request = z.infer<typeof request>;

/** Opens a fake OpenAI API on loopback. */
export function openFakeOpenAi(options: FakeModelOptions): Promise<FakeModelApi> {
  return openFakeModelServer(options, {
    credentials: (headers) => {
      const given = headers["authorization"];
      return given === undefined ? [] : [given.replace(/^Bearer /, "")];
    },
    refusal: JSON.stringify({
      error: {
        message: "invalid credential",
        type: "invalid_request_error",
        code: "invalid_api_key",
      },
    }),
    answer,
  });
}

function answer(asked: Asked): Answer {
  if (asked.headers["upgrade"] !== undefined) return failure(426, "upgrade required");
  if (asked.method !== "POST" || asked.path !== "/v1/responses") return failure(404, "not found");
  const parsed = request.safeParse(asked.json);
  if (!parsed.success) return failure(400, "not a responses request");
  return renderEvents(streamOf(parsed.data));
}

function failure(status: number, message: string): Answer {
  return { status, body: JSON.stringify({ error: { message, type: "invalid_request_error" } }) };
}

function chooseStep({ input }: Request): ModelStep {
  const prompt = input.findLastIndex((it) => it.role === "user" && textOf(it.content) !== "");
  const outputs = input
    .slice(prompt + 1)
    .filter((it) => it.type?.endsWith("_call_output") === true)
    .map((it) => textOf(it.output));
  return nextStep(textOf(input[prompt]?.content), outputs);
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content
    .map((part) => textPart.safeParse(part))
    .map((it) => (it.success ? it.data.text : ""))
    .join("\n");
}

function outputItem(body: Request, step: ModelStep): Record<string, unknown> {
  if (step.kind === "say") {
    const content = [{ type: "output_text", text: step.text, annotations: [] }];
    return { type: "message", id: "msg_fake", role: "assistant", status: "completed", content };
  }
  const id = { id: `item_fake_${step.index}`, call_id: `call_fake_${step.index}` };
  const call = JSON.stringify({ cmd: step.command });
  // Newer models get no function tools: their shell is a custom tool whose input is JavaScript.
  return hasFunctionShell(body)
    ? { type: "function_call", ...id, name: "exec_command", arguments: call, status: "completed" }
    : {
        type: "custom_tool_call",
        ...id,
        name: "exec",
        input: `text((await tools.exec_command(${call})).output);`,
        status: "completed",
      };
}

function hasFunctionShell({ tools }: Request): boolean {
  return JSON.stringify(tools ?? []).includes('"name":"exec_command"');
}

function streamOf(body: Request): { type: string }[] {
  const output = outputItem(body, chooseStep(body));
  const usage = {
    input_tokens: 10,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 5,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 15,
  };
  const response = { id: "resp_fake", object: "response", model: body.model };
  const created = { ...response, status: "in_progress", output: [] };
  const completed = { ...response, status: "completed", output: [output], usage };
  const events = [
    { type: "response.created", response: created },
    { type: "response.output_item.added", output_index: 0, item: output },
    { type: "response.output_item.done", output_index: 0, item: output },
    { type: "response.completed", response: completed },
  ];
  return events;
}
