/** `policy`: what an agent or a bottle may reach, and which rule decides about one request. Asks nobody and sends nothing. */
import { join } from "node:path";
import { UsageError } from "../../base/errors.ts";
import {
  describePolicy,
  type EgressPolicy,
  explainRequest,
  explainRoute,
  planStart,
  type RequestExplanation,
} from "../../index.ts";
import { readPolicy } from "../../protocol/policy.ts";
import { cleanLine } from "../clean-text.ts";
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import { PROBE_OPTIONS } from "../describe-agent.ts";
import { flagList, flagText, isSet } from "../flags/read.ts";
import type { Palette } from "../output.ts";
import { resolveSubject } from "../subject.ts";

/** Exit status of `explain` for a request that is refused. */
const STATUS_REFUSED = 77;

/** The command `policy`. */
export const policyCommand: Command = {
  name: "policy",
  summary: "show what a bottle may reach, and why",
  description:
    "show: the routes of an agent before its start, or of a bottle as it was started. explain: which rule decides about a request, and why the others do not; it ends with 0 where the request is allowed and with 77 where it is refused. A WebSocket is judged by the request that opens it. Not judged are bodies, secrets in host, target and headers, where a name leads, and what is left of a budget: that shows only when a request is made.",
  isInterruptible: true,
  args: [
    { name: "action", summary: "what to do", choices: ["show", "explain"] },
    {
      name: "name",
      summary: "agent, bottle, or a beginning of a bottle's name",
      completes: "subject",
    },
    { name: "url", summary: "explain: the request's URL", isOptional: true },
  ],
  flags: [
    { name: "method", value: "method", summary: "explain: its method, GET if not given" },
    {
      name: "header",
      value: "name:value",
      isRepeatable: true,
      summary: "explain: one of its headers",
    },
    {
      name: "bottle",
      value: "name",
      isRepeatable: true,
      completes: "bottle-file",
      summary: "an agent's bottle file instead of its own",
    },
    {
      name: "allow",
      value: "host[:port]",
      isRepeatable: true,
      summary: "as if the agent were started with it",
    },
    { name: "json", summary: "print it as JSON" },
  ],
  examples: [
    {
      command: "bot-bottle policy show claude",
      explanation: "every host and what is allowed there",
    },
    {
      command: "bot-bottle policy explain claude https://api.github.com/user --method POST",
      explanation: "would that be allowed, and by what",
    },
    {
      command: "bot-bottle policy explain claude-x1y2z https://example.com/ --json",
      explanation: "a running bottle, for scripts",
    },
  ],
  run: runPolicy,
};

async function runPolicy({ args, flags }: ParsedArgs, io: CommandIo): Promise<number> {
  const [action, name = "", url] = args;
  if (action === "show") refuseExplainFlags(flags, url);
  const policy = await findPolicy(name, flags, io);
  if (action === "show") return show(policy, flags, io);
  if (url === undefined) {
    throw new UsageError("usage.invalid", "policy explain needs the URL of a request", {
      hint: `bot-bottle policy explain ${name} https://example.com/`,
    });
  }
  refuseMalformed(url);
  const method = parseMethod(flagText(flags, "method") ?? "GET");
  const headers = flagList(flags, "header").map(parseHeader);
  const explanation = explainRequest(policy, { method, url, headers });
  if (isSet(flags, "json")) io.output.json(describeExplanation(explanation));
  else io.output.print(renderExplanation(explanation, io.output.color));
  return explanation.verdict.kind === "allow" ? 0 : STATUS_REFUSED;
}

function refuseExplainFlags(flags: ParsedArgs["flags"], url: string | undefined): void {
  const isAsked =
    url !== undefined ||
    flagText(flags, "method") !== undefined ||
    flagList(flags, "header").length > 0;
  if (!isAsked) return;
  throw new UsageError("usage.invalid", "a URL, --method and --header go with explain", {
    hint: "bot-bottle policy explain NAME URL --method POST",
  });
}

/** The policy of a bottle as it was started, or of an agent as it would be. */
async function findPolicy(
  name: string,
  flags: ParsedArgs["flags"],
  { env }: CommandIo,
): Promise<EgressPolicy> {
  const subject = await resolveSubject(name, env);
  const bottles = flagList(flags, "bottle");
  const allow = flagList(flags, "allow");
  if (subject.kind === "agent") {
    const { home, userHome, cwd, all } = env;
    const options = { ...PROBE_OPTIONS, allow };
    const place = { home, userHome, cwd, env: all, hasTerminal: false };
    return (await planStart({ ...place, agent: subject.name, bottles, options })).plan.policy;
  }
  if (bottles.length + allow.length > 0) {
    throw new UsageError(
      "usage.invalid",
      "--bottle and --allow go with an agent, not with a bottle",
    );
  }
  const policy = await readPolicy(join(env.home.state, subject.name));
  if (policy !== undefined) return policy;
  throw new UsageError("usage.unknown-bottle", `bottle ${subject.name} has no policy any more`, {
    hint: `bot-bottle audit show ${subject.name}`,
  });
}

function show(policy: EgressPolicy, flags: ParsedArgs["flags"], { output }: CommandIo): number {
  if (isSet(flags, "json")) {
    output.json({ ...describePolicy(policy), resolve: policy.resolve });
    return 0;
  }
  const routes = policy.routes.map((route) => cleanLine(explainRoute(route)));
  const resolve = Object.entries(policy.resolve).map(
    ([name, { address, port }]) =>
      `resolve: ${name} leads to ${address}${port === undefined ? "" : ` port ${port}`}`,
  );
  output.print([...(routes.length === 0 ? ["no host"] : routes), ...resolve].join("\n"));
  return 0;
}

const PROTOCOLS: readonly string[] = ["https:", "http:", "wss:", "ws:"];

/** What no client could ask for is no request that is refused, but a mistake on the command line. */
function refuseMalformed(url: string): void {
  const parsed = URL.parse(url);
  if (parsed !== null && PROTOCOLS.includes(parsed.protocol) && parsed.hostname !== "") return;
  throw new UsageError(
    "usage.invalid",
    `"${cleanLine(url)}" is no URL of a request; https://host/path is expected`,
    { hint: "schemes are https, http, wss and ws" },
  );
}

/** RFC 9110, 5.6.2. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

function parseMethod(text: string): string {
  if (TOKEN.test(text)) return text.toUpperCase();
  throw new UsageError(
    "usage.invalid",
    `--method "${text}" is no method; a word such as POST is expected`,
  );
}

function parseHeader(text: string): readonly [string, string] {
  const match = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):\s*(.*)$/.exec(text);
  if (match !== null) return [match[1] ?? "", match[2] ?? ""];
  throw new UsageError("usage.invalid", `--header "${text}" is no header; name:value is expected`, {
    hint: "for example --header 'content-type: application/json'",
  });
}

function describeExplanation({ verdict, ...rest }: RequestExplanation): unknown {
  const { asked, considered, credential } = rest;
  return {
    verdict: verdict.kind,
    rule: verdict.rule,
    reason: verdict.kind === "allow" ? "allowed" : verdict.reason,
    explanation: verdict.kind === "allow" ? null : verdict.explanation,
    asked: asked ?? null,
    credential: credential ?? null,
    considered,
  };
}

function renderExplanation(explanation: RequestExplanation, color: Palette): string {
  const { verdict, asked, considered, credential } = explanation;
  const row = (name: string, text: string): string =>
    `  ${color.dim(name.padEnd(11))}${cleanLine(text)}`;
  const head =
    verdict.kind === "allow"
      ? `${color.green("allowed")} by ${verdict.rule}`
      : `${color.red("refused")} (${verdict.reason}) by ${verdict.rule}`;
  return [
    cleanLine(head),
    ...(asked === undefined ? [] : [row("asked", asked)]),
    ...(verdict.kind === "allow" ? [] : explainWhy(verdict.explanation, row)),
    ...considered.map(({ rule, fits, why }) => row(fits ? "fits" : "not", `${rule}: ${why}`)),
    ...(credential === undefined ? [] : [row("credential", credential)]),
  ].join("\n");
}

/** What is wrong, and what to do about it. */
function explainWhy(text: string, row: (name: string, text: string) => string): string[] {
  const cut = text.indexOf("; ");
  return cut < 0
    ? [row("why", text)]
    : [row("why", text.slice(0, cut)), row("hint", text.slice(cut + 2))];
}
