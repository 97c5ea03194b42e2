/** `audit`: shows or verifies what was decided about a bottle. Works after the bottle has ended: the log outlives it. */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { ProtocolError, systemCode, UsageError } from "../../base/errors.ts";
import { LineSplitter } from "../../base/lines.ts";
import { type HomePaths, listBottles } from "../../index.ts";
import type { AuditLine } from "../../protocol/audit.ts";
import { type AuditHead, MAX_AUDIT_LINE_BYTES, parseAuditLine } from "../../protocol/audit-log.ts";
import { type AuditVerdict, readAudit, verifyAudit } from "../../protocol/audit-read.ts";
import { cleanLine } from "../clean-text.ts";
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import { endedStatus } from "../exit.ts";
import { flagText, isSet } from "../flags/read.ts";
import { followFile } from "../follow-file.ts";
import type { Palette } from "../output.ts";
import { matchSlug } from "../slugs.ts";

const SUFFIX = ".jsonl";

/** The command `audit`. */
export const auditCommand: Command = {
  name: "audit",
  summary: "show or verify a bottle's decisions",
  description:
    "show: every decision with the rule that made it. verify: proves order and that no line was edited; with the head that was printed when the bottle ended, also that nothing was cut off or rewritten.",
  args: [
    { name: "action", summary: "what to do", choices: ["show", "verify"] },
    {
      name: "slug",
      summary: "bottle, or a beginning of its name; ended ones too",
      completes: "audit",
    },
  ],
  flags: [
    { name: "json", summary: "show: one event a line; verify: the verdict" },
    { name: "follow", short: "f", summary: "show: go on until the bottle ends" },
    { name: "denied", summary: "show: only what was refused or held" },
    {
      name: "head",
      value: "seq:hash",
      summary: "verify: the head printed at the end of the bottle",
    },
  ],
  examples: [
    {
      command: "bot-bottle audit show claude-x1y2z --denied",
      explanation: "what the agent was refused",
    },
    {
      command: "bot-bottle audit show claude-x1y2z --json | jq -r .host",
      explanation: "for scripts",
    },
    { command: "bot-bottle audit verify claude-x1y2z", explanation: "check the chain of hashes" },
  ],
  run: runAudit,
};

async function runAudit({ args, flags }: ParsedArgs, io: CommandIo): Promise<number> {
  const [action, text = ""] = args;
  const { home } = io.env;
  const slug = matchSlug(
    text,
    await listAudited(home),
    [],
    `see which there are: ls ${home.audit}`,
  );
  const path = join(home.audit, `${slug}${SUFFIX}`);
  return action === "verify" ? verify(path, slug, flags, io) : show(path, slug, flags, io);
}

async function listAudited(home: HomePaths): Promise<readonly string[]> {
  try {
    const names = await readdir(home.audit);
    return names
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length));
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw error;
  }
}

type Flags = ParsedArgs["flags"];

async function show(path: string, slug: string, flags: Flags, io: CommandIo): Promise<number> {
  if (flagText(flags, "head") !== undefined)
    throw new UsageError("usage.invalid", "--head goes with verify", {
      hint: `bot-bottle audit verify ${slug} --head SEQ:HASH`,
    });
  const { output } = io;
  const isDenied = isSet(flags, "denied");
  let shown = 0;
  const write = (line: AuditLine): void => {
    if (isDenied && line.verdict !== "deny" && line.verdict !== "hold") return;
    shown += 1;
    if (isSet(flags, "json")) output.json(line);
    else output.print(renderLine(line, output.color));
  };
  if (isSet(flags, "follow")) await follow(path, slug, write, io);
  else {
    for await (const line of readAudit(path)) {
      io.signal.throwIfAborted();
      write(line);
      if (output.isClosed()) break;
    }
    if (isDenied && shown === 0) output.note(`nothing was refused in ${slug}`);
  }
  return endedStatus(io.signal);
}

/** While the log grows, a line that cannot be read is passed over; `show` without --follow and `verify` judge it. */
async function follow(
  path: string,
  slug: string,
  write: (line: AuditLine) => void,
  io: CommandIo,
): Promise<void> {
  const isOver = async (): Promise<boolean> => {
    if (io.output.isClosed()) return true;
    const now = (await listBottles(io.env.home)).find((bottle) => bottle.slug === slug);
    return now?.status !== "running" && now?.status !== "launching";
  };
  const splitter = new LineSplitter((text) => {
    const line = parseAuditLine(Buffer.from(text));
    if (line !== undefined) write(line);
  }, MAX_AUDIT_LINE_BYTES);
  const decoder = new StringDecoder("utf8");
  for await (const chunk of followFile(path, { isOver, signal: io.signal }))
    splitter.push(decoder.write(chunk));
}

/** One line for people: time, verdict, what, and by which rule. Host and path are the guest's words. */
function renderLine(line: AuditLine, color: Palette): string {
  const { time, kind, verdict, method, host, path, rule, reason, detail } = line;
  const what = [method, host === undefined ? undefined : `${host}${path ?? ""}`]
    .filter((it) => it !== undefined)
    .join(" ");
  const why = [reason, rule].filter((it) => it !== undefined).join(" by ");
  const parts = [what, why === "" ? "" : `(${why})`, detail ?? ""].filter((it) => it !== "");
  const text = cleanLine(parts.join("  "));
  return `${color.dim(cleanLine(time))}  ${paintVerdict(verdict, color)}  ${kind.padEnd(8)}  ${text}`;
}

function paintVerdict(verdict: AuditLine["verdict"], color: Palette): string {
  const text = (verdict ?? "-").padEnd(6);
  if (verdict === "deny") return color.red(text);
  if (verdict === "allow") return color.green(text);
  return verdict === undefined ? color.dim(text) : color.yellow(text);
}

async function verify(
  path: string,
  slug: string,
  flags: Flags,
  { output }: CommandIo,
): Promise<number> {
  if (isSet(flags, "follow") || isSet(flags, "denied")) {
    throw new UsageError("usage.invalid", "--follow and --denied go with show", {
      hint: `bot-bottle audit show ${slug} --denied`,
    });
  }
  const head = parseHead(flagText(flags, "head"));
  const verdict = await verifyAudit(path, head === undefined ? {} : { head });
  if (!verdict.ok) throw brokenChain(verdict, slug, path);
  const { lines } = verdict;
  const end = `${verdict.head.seq}:${verdict.head.hash}`;
  if (isSet(flags, "json")) output.json({ ok: true, slug, lines, head: end });
  else
    output.print(
      `${slug}: ${lines} ${lines === 1 ? "line" : "lines"}, the chain is whole; head ${end}`,
    );
  if (head === undefined)
    output.note("without --head the end could have been cut off, or everything rewritten");
  return 0;
}

/** Claims of the lines before the fault no more than the chain proves. */
function brokenChain(
  { line, seq, from, why }: Extract<AuditVerdict, { readonly ok: false }>,
  slug: string,
  path: string,
): ProtocolError {
  const proven = from === 1 ? "" : `; lines before ${from} are as they were written`;
  return new ProtocolError(
    "protocol.audit",
    `the log of ${slug} is broken at line ${line}: ${why}`,
    { hint: `look at ${path}${proven}`, details: { line, seq, from, why } },
  );
}

function parseHead(text: string | undefined): AuditHead | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text);
  if (match !== null) return { seq: Number(match[1]), hash: match[2] ?? "" };
  throw new UsageError("usage.invalid", `--head "${text}" is no head; seq:hash is expected`, {
    hint: "it was printed when the bottle ended",
  });
}
