/**
 * The part that the fake model APIs share: an HTTPS server on loopback that knows one real credential, answers 401 to any
 * other, and keeps what it was sent, so that a finished agent run proves that the credential was injected.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { parseJson } from "../base/json.ts";

/** Largest request body that is kept; an agent's turn is tens of kilobytes. */
const MAX_BODY_BYTES: number = 32 * 1024 * 1024;

/** Certificate chain and private key of a server, both PEM. */
export interface ServerIdentity {
  readonly certificate: string;
  readonly key: string;
}

export interface FakeModelOptions {
  readonly identity: ServerIdentity;
  /** The one credential that is accepted. */
  readonly credential: string;
  /** Port on 127.0.0.1; any free one when absent. */
  readonly port?: number;
}

/** One request as the API saw it. */
export interface SeenRequest {
  readonly method: string;
  /** Path with query, as sent. */
  readonly target: string;
  /** The `Host` header. */
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly status: number;
}

/** A running fake of a model API; disposing it closes every connection. */
export interface FakeModelApi extends AsyncDisposable {
  readonly port: number;
  /** Base URL by address; a bottle leads the API's real name here instead. */
  readonly url: string;
  /** Every answered request, oldest first. */
  readonly requests: readonly SeenRequest[];
}

/** What a fake decides about one request: status, headers, and whole body. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A request that is still to be answered; `json` is undefined when the body is not JSON. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly json: unknown;
}

/** Which credential a request carries, and how it is answered once that is right. */
export interface FakeModelBehaviour {
  /** Every credential in the request; all of them must be the real one. */
  credentials(headers: Readonly<Record<string, string>>): readonly string[];
  /** The body of the 401. */
  readonly refusal: string;
  answer(asked: Asked): Answer;
}

/** Opens the server. Throws when the port is taken. */
export async function openFakeModelServer(
  options: FakeModelOptions,
  behaviour: FakeModelBehaviour,
): Promise<FakeModelApi> {
  const requests: SeenRequest[] = [];
  const { certificate, key } = options.identity;
  const server = createServer({ cert: certificate, key }, (request, response) => {
    serve(request, options.credential, behaviour).then(
      ({ seen, answer }) => {
        requests.push(seen);
        respond(response, answer);
      },
      () => response.destroy(),
    );
  });
  const port = await listen(server, options.port ?? 0);
  return {
    port,
    url: `https://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: () => close(server),
  };
}

async function serve(
  request: IncomingMessage,
  credential: string,
  behaviour: FakeModelBehaviour,
): Promise<{ seen: SeenRequest; answer: Answer }> {
  const body = await readBody(request);
  const headers = plainHeaders(request);
  const target = request.url ?? "/";
  const method = request.method ?? "GET";
  const given = behaviour.credentials(headers);
  const isAuthorized = given.length > 0 && given.every((it) => it === credential);
  const path = target.split("?")[0] ?? target;
  const answer = isAuthorized
    ? behaviour.answer({ method, path, headers, json: tryJson(body) })
    : { status: 401, body: behaviour.refusal };
  const seen = {
    method,
    target,
    host: headers["host"] ?? "",
    headers,
    body,
    status: answer.status,
  };
  return { seen, answer };
}

function respond(response: ServerResponse, answer: Answer): void {
  response.writeHead(answer.status, {
    "content-type": "application/json",
    ...answer.headers,
    "content-length": Buffer.byteLength(answer.body),
  });
  response.end(answer.body);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  const chunks: AsyncIterable<Uint8Array> = request;
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > MAX_BODY_BYTES) throw new RangeError("the request body is too large");
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString("utf8");
}

function plainHeaders(request: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return headers;
}

function tryJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Server-sent events: one `event:`/`data:` pair per item, as both model APIs send them. */
export function renderEvents(events: readonly { readonly type: string }[]): Answer {
  const body = events.map((it) => `event: ${it.type}\ndata: ${JSON.stringify(it)}\n\n`).join("");
  return {
    status: 200,
    headers: { "content-type": "text/event-stream", "cache-control": "no-cache" },
    body,
  };
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
