/**
 * How a refusal reads. The first line is `egress:`, the reason code and what is wrong; then what was asked; then how to
 * ask for it. Invariant: nothing that the guest did not know itself is in it.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Deny, ReasonCode } from "../../policy/verdict.ts";

/** Time a guest gets to read a refusal while it is still sending. */
const LINGER_MS = 2_000;

/** Everything that is not a refusal by policy: the request was malformed, or an upstream could not be used. */
const STATUS: Partial<Record<ReasonCode, number>> = {
  "bad-authority": 400,
  "bad-request": 400,
  "resolve-failed": 502,
  "upstream-failed": 502,
  "not-ready": 503,
};

const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
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

/** Refuses on a bare connection: the answer to CONNECT, and to what is no HTTP. */
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
  closeSoon(socket);
}

/** Refuses a request. When an answer has begun already, the connection is cut so that it cannot pass for a whole one. */
export function refuseRequest(
  { request, response }: { readonly request: IncomingMessage; readonly response: ServerResponse },
  verdict: Deny,
  refusal: { readonly asked: string; readonly asksWebSocket: boolean },
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = Buffer.from(renderRefusal(verdict, refusal.asked));
  const isBodyPending = !request.complete && announcesBody(request);
  const status = statusOf(verdict, refusal.asksWebSocket);
  response.writeHead(status, {
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Length": body.length,
    "X-Content-Type-Options": "nosniff",
    // Whoever sends one malformed request may mean another end of it than we do.
    ...((isBodyPending || status === 400) && { Connection: "close" }),
  });
  response.end(request.method === "HEAD" ? undefined : body);
  if (!isBodyPending) return;
  request.resume();
  closeSoon(request.socket);
}

/** A refusal often comes before the parser has said that a request without a body is whole. */
function announcesBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0;
}

/** Reads on for a moment, because closing with unread bytes would take the refusal away from the guest. */
function closeSoon(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
}
