/**
 * How a test's prompt scripts a fake model: each line `RUN: <shell command>` is one tool call, in order; a line
 * `SAY: <text>` is the last answer. Without them the model answers at once.
 */

/** What the fake model does next. */
export type ModelStep =
  | { readonly kind: "run"; readonly command: string; readonly index: number }
  | { readonly kind: "say"; readonly text: string };

/** Chooses the next step from the user's prompt and the outputs of the tool calls made since. */
export function nextStep(prompt: string, outputs: readonly string[]): ModelStep {
  const commands = lines(prompt, "RUN:");
  const command = commands[outputs.length];
  if (command !== undefined) return { kind: "run", command, index: outputs.length };
  const said = lines(prompt, "SAY:")[0] ?? "done";
  return { kind: "say", text: [said, ...outputs.map((it) => `tool output: ${it}`)].join("\n") };
}

function lines(prompt: string, keyword: string): string[] {
  return prompt
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith(keyword))
    .map((line) => line.slice(keyword.length).trim());
}
