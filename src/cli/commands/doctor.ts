/** `doctor`: looks at the machine and says what works, what is missing and how to get it. Changes nothing. */
import { EXIT_STATUS } from "../../base/error-codes.ts";
import { type Check, checkMachine } from "../checks.ts";
import { cleanLine } from "../clean-text.ts";
import type { Command, CommandIo } from "../command.ts";
import { isSet } from "../flags/read.ts";
import type { Palette } from "../output.ts";
import { VERSION } from "../version.ts";

/** The command `doctor`. */
export const doctorCommand: Command = {
  name: "doctor",
  summary: "check what this machine can do",
  description:
    "Check Node, the backends, helper programs, agents, the home directory and disk space. Ends with 0 when a backend works, else with 69.",
  isInterruptible: true,
  args: [],
  flags: [{ name: "json", summary: "print {version, ok, checks} as JSON" }],
  examples: [
    { command: "bot-bottle doctor", explanation: "what works and what to install" },
    {
      command: "bot-bottle doctor --json | jq -r '.checks[] | select(.state != \"ok\") | .hint'",
      explanation: "what is to be done",
    },
  ],
  run: async ({ flags }, io) => {
    const checks = await checkMachine(io.env);
    const isUsable = checks.some((check) => check.kind === "backend" && check.state === "ok");
    if (isSet(flags, "json")) io.output.json({ version: VERSION, ok: isUsable, checks });
    else printChecks(checks, isUsable, io);
    return isUsable ? 0 : EXIT_STATUS.host;
  },
};

function printChecks(checks: readonly Check[], isUsable: boolean, { output }: CommandIo): void {
  const { color } = output;
  const width = Math.max(...checks.map((check) => check.name.length));
  for (const { name, state, found, hint, details } of checks) {
    output.print(`${mark(state, color)} ${name.padEnd(width)}  ${cleanLine(found)}`);
    for (const [key, value] of Object.entries(details)) {
      output.print(color.dim(`${" ".repeat(width + 7)}${key}: ${cleanLine(value)}`));
    }
    if (hint !== undefined)
      output.print(`${" ".repeat(width + 7)}${color.yellow(cleanLine(hint))}`);
  }
  output.print(
    isUsable
      ? color.green("bottles can be started here")
      : color.red("no backend works on this machine"),
  );
}

function mark(state: Check["state"], color: Palette): string {
  if (state === "ok") return color.green("ok  ");
  return state === "missing" ? color.red("FAIL") : color.yellow("warn");
}
