/**
 * How a refusal reads. The first line is `egress:`, the reason code and what is wrong; then what was asked; then how to
 * ask for it. Invariant: nothing that the guest did not know itself is in it.
 */
import type { Socket } from "node:net";
import type { HeaderList } from "../../policy/headers.ts";
import type { Deny, ReasonCode } from "../../policy/verdict.ts";
import { type BodySource, LINGER_MS, type Outgoing } from "./message.ts";

/** Everything that is not a refusal by policy: the request was malformed, or an upstream could not be used. */
const STATUS: Partial<Record<ReasonCode, number>> = {
  "bad-authority": 400,
  "bad-request": 400,
  "resolve-failed": 502,
  "upstream-failed": 502,
  "not-ready": 503,
};

const STATUS_TEXT: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  403: "Forbidden",
  417: "Expectation Failed",
  426: "Upgrade Required",
  502: "Bad Gateway",
  503: "Service Unavailable",
};

/** Status of a refusal. A WebSocket client falls back to plain requests at 426 and retries at anything else. */
export function statusOf(verdict: Pick<Deny, "reason">, asksWebSocket = false): number {
  if (verdict.reason === "upgrade-refused" && asksWebSocket) return 426;
  return STATUS[verdict.reason] ?? 403;
}

/** Text of a refusal; `asked` is what the guest wanted, such as `CONNECT example.com:443`. */
export function renderRefusal(verdict: Deny, asked: string): string {
  const cut = verdict.explanation.indexOf("; ");
  const why = cut < 0 ? verdict.explanation : verdict.explanation.slice(0, cut);
  const how =
    cut < 0
      ? "ask the operator to change the bottle's egress.routes"
      : verdict.explanation.slice(cut + 2);
  return `egress: ${verdict.reason}: ${why}\nasked: ${printable(asked)}\nrule: ${verdict.rule}\nto go on: ${how}\n`;
}

/** A guest's own text is cut and kept to one line: it must not look like more of the refusal. */
function printable(text: string): string {
  return text.slice(0, 300).replace(/[^\x20-\x7e]/g, "?");
}

/** Refuses on a bare connection: the answer to CONNECT, and to what follows it. */
export function refuseSocket(socket: Socket, verdict: Deny, asked: string): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = Buffer.from(renderRefusal(verdict, asked));
  const status = statusOf(verdict);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_TEXT[status] ?? ""}`,
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${body.length}`,
    "Connection: close",
  ];
  socket.end(Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), body]));
  // Reads on for a moment, because closing with unread bytes would take the refusal away from the guest.
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
  socket.resume();
}

/** An answer of our own. */
export interface LocalAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: HeaderList;
}

/** Gives an answer that no upstream has a part in. Of the request's body nothing more is wanted. */
export function answerLocally(outgoing: Outgoing, source: BodySource, answer: LocalAnswer): void {
  const { status, contentType, body, headers = [] } = answer;
  const bytes = Buffer.from(body);
  source.cancel();
  outgoing.head({
    status,
    reason: STATUS_TEXT[status] ?? "",
    headers: [
      ["Content-Type", contentType],
      ["X-Content-Type-Options", "nosniff"],
      ["Cache-Control", "no-store"],
      ...headers,
    ],
    framing: { kind: "length", length: bytes.length },
  });
  outgoing.write(bytes);
  outgoing.end([]);
}

/** Refuses a request. When an answer has begun already, the exchange is cut so that it cannot pass for a whole one. */
export function refuseExchange(
  outgoing: Outgoing,
  source: BodySource,
  verdict: Deny,
  refusal: { readonly asked: string; readonly asksWebSocket: boolean },
): void {
  if (outgoing.isOver) return;
  if (outgoing.isHeadSent) {
    outgoing.reset();
    return;
  }
  const status = statusOf(verdict, refusal.asksWebSocket);
  // Whoever sends one malformed request may mean another end of it than we do.
  if (status === 400) outgoing.closeAfter();
  const body = renderRefusal(verdict, refusal.asked);
  answerLocally(outgoing, source, { status, contentType: "text/plain; charset=utf-8", body });
}
