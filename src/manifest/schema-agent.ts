/** The schema of an agent file: what a repository may choose, none of which grants anything. */
import * as z from "zod/mini";
import { field, keys, list, option, parsedText } from "./fields.ts";
import { parseName } from "./names.ts";
import { parseUserText } from "./user-text.ts";

/** Identity of commits, in a bottle or an agent. */
export const gitUserSchema = keys({
  name: option(parsedText(parseUserText), "Name of the committer."),
  email: option(parsedText(parseUserText), "E-mail address of the committer."),
});

const ignored = () => option(z.unknown(), "Ignored; accepted for other tools that read the file.");

/** The schema of an agent file's front matter; the body is the system prompt. */
export const agentSchema = keys({
  bottle: option(
    parsedText(parseName),
    "The bottle that the agent runs in, when --bottle names none. In a repository's agent it counts only once confirmed.",
  ),
  skills: option(
    list(parsedText(parseName)),
    "Skills that are copied from the operator's skill directory.",
    { default: [] },
  ),
  "git-gate": option(
    keys({ user: field(gitUserSchema, "Identity of commits, over the bottle's key by key.") }),
    "Only the identity of commits; remotes belong to bottles.",
  ),
  name: ignored(),
  description: ignored(),
  model: ignored(),
  color: ignored(),
  memory: ignored(),
});
