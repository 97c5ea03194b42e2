/** The flag `--backend` and the variable behind it, for every command that starts a bottle. */
import { BACKEND_NAMES, type BackendName, UsageError } from "../../index.ts";
import type { CommandIo, FlagSpec, ParsedArgs } from "../command.ts";
import { flagText } from "./read.ts";

/** Backends that an operator may choose. */
const CHOICES = BACKEND_NAMES.filter((name) => name !== "fake");

/** The flag. */
export const backendFlag: FlagSpec = {
  name: "backend",
  value: "name",
  summary: "backend to use",
  choices: CHOICES,
};

/** What the operator chose: the flag wins over `BOT_BOTTLE_BACKEND`. Throws UsageError. */
export function chosenBackend(
  { flags }: Pick<ParsedArgs, "flags">,
  { env }: Pick<CommandIo, "env">,
): BackendName | undefined {
  const text = flagText(flags, "backend") ?? env.backend;
  if (text === undefined) return undefined;
  const known = CHOICES.find((name) => name === text);
  if (known !== undefined) return known;
  throw new UsageError(
    "usage.invalid",
    `BOT_BOTTLE_BACKEND "${text}" is not a backend; one of ${CHOICES.join(", ")} is expected`,
    { hint: "set it to one of them, or unset it for the best one here (bot-bottle doctor)" },
  );
}
