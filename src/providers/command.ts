/** Any program as the agent: its argv comes from the bottle's settings, and it runs without a prompt. */
import type { Provider, ProviderInput, ProviderPlan } from "./provider.ts";
import { argvSetting, flagSetting, refuseUnknownSettings } from "./settings.ts";

/** Variable that names the file of the agent's system prompt, set when there is one. */
const PROMPT_FILE_VARIABLE = "BOT_BOTTLE_PROMPT_FILE";

/** A command of the operator's choice. */
export const command: Provider = {
  name: "command",
  title: "Command",
  program: undefined,
  skillsDir: undefined,
  defaultTokenVariable: undefined,
  runsWithoutPrompt: true,
  describe,
};

function describe(input: ProviderInput): ProviderPlan {
  refuseUnknownSettings("command", input.settings, ["argv", "prompt_argument"]);
  const argv = argvSetting(input.settings, "argv");
  const takesPrompt = flagSetting(input.settings, "prompt_argument");
  const env = input.hasPrompt ? { [PROMPT_FILE_VARIABLE]: String(input.promptPath) } : {};
  return {
    env,
    hiddenEnvNames: Object.keys(env),
    files: [],
    routes: [],
    interactiveArgv: argv,
    // Dropped without a word, a prompt would leave its author waiting for work that nobody does.
    headlessArgv: (prompt) => {
      if (!takesPrompt) return undefined;
      return prompt === "" ? argv : [...argv, prompt];
    },
    resumeArgv: argv,
  };
}
