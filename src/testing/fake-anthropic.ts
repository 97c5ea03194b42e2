/**
 * A local stand-in for the Anthropic Messages API, enough for the real Claude Code: messages as server-sent events, one
 * Bash call per `RUN:` line of the prompt, harmless answers on every side path, 401 without the real credential.
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
export const ANTHROPIC_HOST = "api.anthropic.com";

const textBlock = z.object({ type: z.literal("text"), text: z.string() });
const toolResult = z.object({ type: z.literal("tool_result"), content: z.optional(z.unknown()) });
const message = z.object({
  role: z.string(),
  content: z.union([z.string(), z.array(z.unknown())]),
});
const request = z.object({
  model: z.string(),
  stream: z.optional(z.boolean()),
  messages: z.array(message),
  tools: z.optional(z.array(z.object({ name: z.optional(z.string()) }))),
});
type Request = z.infer<typeof request>;

/** Opens a fake Anthropic API on loopback. */
export function openFakeAnthropic(options: FakeModelOptions): Promise<FakeModelApi> {
  return openFakeModelServer(options, {
    credentials: (headers) =>
      [headers["authorization"]?.replace(/^Bearer /, ""), headers["x-api-key"]].filter(
        (it) => it !== undefined,
      ),
    refusal: JSON.stringify({
      type: "error",
      error: { type: "authentication_error", message: "invalid credential" },
    }),
    answer,
  });
}

function answer(asked: Asked): Answer {
  if (asked.method !== "POST" || asked.path !== "/v1/messages") return sidePath(asked.path);
  const parsed = request.safeParse(asked.json);
  if (!parsed.success) {
    const error = { type: "invalid_request_error", message: "not a messages request" };
    return { status: 400, body: JSON.stringify({ type: "error", error }) };
  }
  const step = chooseStep(parsed.data);
  return parsed.data.stream === true
    ? renderEvents(streamOf(parsed.data.model, step))
    : { status: 200, body: JSON.stringify(messageOf(parsed.data.model, step)) };
}

function sidePath(path: string): Answer {
  if (path === "/v1/messages/count_tokens") return { status: 200, body: '{"input_tokens":10}' };
  const error = { type: "not_found_error", message: "not found" };
  return { status: 404, body: JSON.stringify({ type: "error", error }) };
}

/** Side calls (titles, summaries) come without the Bash tool and are answered with text. */
function chooseStep({ messages, tools }: Request): ModelStep {
  const isTurn = tools?.some((tool) => tool.name === "Bash") === true;
  const prompt = messages.findLastIndex(
    (it) => it.role === "user" && results(it.content).length === 0 && textOf(it.content) !== "",
  );
  const outputs = messages.slice(prompt + 1).flatMap((it) => results(it.content));
  return isTurn
    ? nextStep(textOf(messages[prompt]?.content ?? ""), outputs)
    : { kind: "say", text: "done" };
}

function textOf(content: Request["messages"][number]["content"]): string {
  if (typeof content === "string") return content;
  return content
    .map((block) => textBlock.safeParse(block))
    .map((it) => (it.success ? it.data.text : ""))
    .join("\n");
}

function results(content: Request["messages"][number]["content"]): string[] {
  if (typeof content === "string") return [];
  return content
    .map((block) => toolResult.safeParse(block))
    .filter((it) => it.success)
    .map(({ data }) =>
      typeof data.content === "string"
        ? data.content
        : textOf(Array.isArray(data.content) ? data.content : []),
    );
}

function blockOf(step: ModelStep): Record<string, unknown> {
  if (step.kind === "say") return { type: "text", text: step.text };
  const input = { command: step.command, description: "Run the scripted command" };
  return { type: "tool_use", id: `toolu_fake_${step.index}`, name: "Bash", input };
}

function messageOf(model: string, step: ModelStep): Record<string, unknown> {
  return {
    id: "msg_fake",
    type: "message",
    role: "assistant",
    model,
    content: [blockOf(step)],
    stop_reason: step.kind === "run" ? "tool_use" : "end_turn",
    stop_sequence: null,
    usage: { input_tokens: 10, output_tokens: 5 },
  };
}

function streamOf(model: string, step: ModelStep): { type: string }[] {
  const whole = messageOf(model, step);
  const block = blockOf(step);
  const isText = step.kind === "say";
  const start = isText ? { type: "text", text: "" } : { ...block, input: {} };
  const delta = isText
    ? { type: "text_delta", text: step.text }
    : { type: "input_json_delta", partial_json: JSON.stringify(block["input"]) };
  const end = { stop_reason: whole["stop_reason"], stop_sequence: null };
  const events = [
    { type: "message_start", message: { ...whole, content: [], stop_reason: null } },
    { type: "content_block_start", index: 0, content_block: start },
    { type: "content_block_delta", index: 0, delta },
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: end, usage: { output_tokens: 5 } },
    { type: "message_stop" },
  ];
  return events;
}
