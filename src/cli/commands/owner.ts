/** `__owner`: the detached owner of one bottle. Not for people: it reads its plan and secrets from stdin. */
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Bottle } from "../../index.ts";
import { Secret } from "../../index.ts";
import type { Command } from "../command.ts";
import { type DetachedAnswer, parseDetachedStart } from "../detach.ts";
import { describeFailure, reportFailure } from "../exit.ts";
import type { Output } from "../output.ts";
import { runBottle } from "../run-bottle.ts";

export const ownerCommand: Command = {
  name: "__owner",
  summary: "own one bottle in the background",
  passesStatus: true,
  args: [],
  flags: [],
  examples: [],
  run: async (_parsed, io) => {
    const start = parseDetachedStart(await text(process.stdin));
    const secrets = new Map(
      Object.entries(start.secrets).map(([slot, { name, value }]) => [
        slot,
        new Secret(name, value),
      ]),
    );
    const said: string[] = [];
    const quiet = recordingOutput(io.output, said);
    try {
      const status = await runBottle(start.plan, secrets, {
        io: { ...io, output: quiet },
        eventsFile: start.eventsFile,
        isHeadless: true,
        openLog: agentLog,
        onRunning: (bottle) => answer({ kind: "running", slug: bottle.id, pid: process.pid }),
      });
      // Without effect once the agent ran; otherwise its program is missing, and that status is the program's place.
      answer({ kind: "failed", status, text: said.join("\n") });
      return status;
    } catch (error) {
      const status = reportFailure(error, quiet, {
        isJson: false,
        passesStatus: true,
        isDebug: false,
      });
      answer({
        kind: "failed",
        status,
        text: said.join("\n"),
        error: describeFailure(error, true),
      });
      return status;
    }
  },
};

let hasAnswered = false;

/** Answers the one who started us, once. */
function answer(value: DetachedAnswer): void {
  if (hasAnswered) return;
  hasAnswered = true;
  writeSync(1, `${JSON.stringify(value)}\n`);
  closeSync(1);
  openSync("/dev/null", constants.O_WRONLY);
}

function agentLog(bottle: Bottle): number {
  return openSync(
    join(bottle.plan.paths.logs, "agent.log"),
    constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
    0o600,
  );
}

function recordingOutput(output: Output, said: string[]): Output {
  const keep = (line: string): void => {
    said.push(line);
    if (said.length > 100) said.shift();
  };
  const recording: Output = {
    ...output,
    print: keep,
    note: () => undefined,
    error: keep,
    progress: () => undefined,
    quiet: () => recording,
  };
  return recording;
}
