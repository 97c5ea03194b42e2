// docs/errors.md, made from the table of error codes.
import {
  ERROR_CODES,
  type ErrorKind,
  EXIT_OWN_FAILURE,
  EXIT_STATUS,
} from "../../src/base/error-codes.ts";

const KINDS: Readonly<Record<ErrorKind, string>> = {
  usage: "A flag or argument is wrong",
  manifest: "A manifest file is wrong or missing",
  host: "The machine lacks something",
  launch: "A stage of a launch failed",
  denied: "Policy forbids it",
  sidecar: "A daemon of the bundle failed",
  protocol: "A peer spoke wrongly",
  timeout: "Something took too long",
  cancelled: "Stopped by a signal",
  bug: "An invariant of bot-bottle broke",
};

/** The page of all error codes. */
export function renderErrorsPage(): string {
  const parts = Object.entries(KINDS).map(([kind, title]) => {
    const codes = Object.entries(ERROR_CODES).filter(([, info]) => info.kind === kind);
    const rows = codes.map(
      ([code, info]) => `| <a id="${anchor(code)}"></a>\`${code}\` | ${info.title} |`,
    );
    const status = exitStatus(kind);
    return [
      `## ${title}`,
      "",
      `Exit status ${status}.`,
      "",
      "| code | meaning |",
      "|---|---|",
      ...rows,
      "",
    ].join("\n");
  });
  return `${HEAD}\n${parts.join("\n")}`;
}

function exitStatus(kind: string): string {
  const found = Object.entries(EXIT_STATUS).find(([name]) => name === kind)?.[1];
  return kind === "cancelled" ? "128 + the signal's number" : String(found);
}

const anchor = (code: string): string => code.replace(".", "-");

const HEAD = `<!-- Made by scripts/generate.ts from src/base/error-codes.ts; do not edit. -->
# Errors

Every error has a code that never changes its meaning, a message, and a hint with the next command or edit. Commands that run
a program in a bottle (\`start\`, \`exec\`, \`resume\`, \`attach\`, \`demo\`) pass the program's own status through and end with
${EXIT_OWN_FAILURE} for every failure of ours; the other commands end with the status given here.
`;
