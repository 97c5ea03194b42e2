/** Lines of a real agent that look like a failure and are none: the stand-in for its model speaks no WebSocket. Said once, in our words. */
import type { DemoAgent } from "./world.ts";

const NO_WEBSOCKET = /\bERROR\b.*failed to connect to.* WebSocket/i;
const EXPLANATION =
  "Codex tried a WebSocket first, which the stand-in for its model does not speak; it goes on over HTTP";

/** What is told of each line: the line itself, an explanation in its place, or nothing where that was given already. */
export type Retell = (line: string) => { readonly who: "agent" | "host"; readonly text: string }[];

/** Makes the teller of one agent's lines; without an agent every line is told, as where a refusal is what is to be shown. */
export function retellAgent(agent: DemoAgent | undefined): Retell {
  let isExplained = false;
  return (line) => {
    if (agent !== "codex" || !NO_WEBSOCKET.test(line)) return [{ who: "agent", text: line }];
    if (isExplained) return [];
    isExplained = true;
    return [{ who: "host", text: EXPLANATION }];
  };
}
