/**
 * HTTP to the engine: one agent that keeps its connection alive, bounded answers, deadlines and cancellation for every call.
 * A refusal carries the engine's own words; a connection that is not there says where it was looked for.
 */
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import type { Duplex, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type * as z from "zod/mini";
import { BottleError, LaunchError, messageOf, systemCode, TimeoutError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import type { CallOptions, EngineEndpoint } from "./contract.ts";
import { engineRefusal, engineUnreachable } from "./failure.ts";
import { tlsOptions } from "./tls.ts";

/** Loaded the quick way: an import statement would evaluate exports that nothing here uses, and cost a launch milliseconds. */
const http: typeof import("node:http") = process.getBuiltinModule("node:http");

/** Any single call that does not wait for something of the user's. */
const DEFAULT_TIMEOUT_MS = 60_000;
/** Largest JSON answer: `info` and lists of a busy engine stay far below. */
const MAX_ANSWER_BYTES: number = 32 * 1024 * 1024;
const MAX_REFUSAL_BYTES: number = 64 * 1024;

/** A tar archive to send. */
const TAR = "application/x-tar";

export interface Call extends CallOptions {
  /** What is done, for messages: `creating container "x"`. */
  readonly what: string;
  readonly method: "GET" | "POST" | "DELETE" | "PUT";
  /** Path without version, its variable parts encoded. */
  readonly path: string;
  /** A list gives its name several times. */
  readonly query?: Readonly<
    Record<string, string | number | boolean | readonly string[] | undefined>
  >;
  /** Sent as JSON, or as a tar stream. */
  readonly body?: object | undefined;
  readonly archive?: Readable | undefined;
  /** Statuses that are an answer although they are none of the 2xx. */
  readonly accepts?: readonly number[];
}

/** An answer whose body has been read. */
interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: IncomingMessage["headers"];
}

type Upgraded =
  | { readonly connection: Duplex; readonly refusal?: never }
  | { readonly connection: undefined; readonly refusal: IncomingMessage };

/** Open connections to one engine. */
export class Transport implements Disposable {
  readonly endpoint: EngineEndpoint;
  /** `/v1.41`; empty until it is negotiated. */
  prefix = "";
  readonly #agent: Agent;
  readonly #base: RequestOptions;

  private constructor(endpoint: EngineEndpoint, agent: Agent) {
    this.endpoint = endpoint;
    this.#agent = agent;
    // Go refuses a request without a host; the name means nothing on a socket.
    this.#base =
      endpoint.kind === "unix"
        ? { socketPath: endpoint.path, host: "docker", setHost: true }
        : { host: endpoint.host, port: endpoint.port };
  }

  /** Prepares connections; none is opened yet. Throws HostError when the files of a TLS endpoint cannot be read. */
  static async create(endpoint: EngineEndpoint): Promise<Transport> {
    const options = { keepAlive: true, maxFreeSockets: 2 };
    if (endpoint.kind === "unix" || endpoint.tls === undefined)
      return new Transport(endpoint, new http.Agent(options));
    const https = await import("node:https");
    return new Transport(
      endpoint,
      new https.Agent({ ...options, ...tlsOptions(endpoint, endpoint.tls) }),
    );
  }

  /** Makes a call and parses its JSON answer. Throws LaunchError, HostError, TimeoutError or the signal's reason. */
  async json<T>(call: Call, schema: z.ZodMiniType<T>): Promise<T> {
    const { text } = await this.call(call);
    let value: unknown;
    try {
      value = parseJson(text);
    } catch (error) {
      throw misunderstood(call, messageOf(error), error);
    }
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const where = parsed.error.issues[0]?.path.join(".") ?? "";
    throw misunderstood(call, `unexpected value at "${where}"`);
  }

  /** As {@link json}, but a missing object (404) is undefined. */
  async jsonIfThere<T>(call: Call, schema: z.ZodMiniType<T>): Promise<T | undefined> {
    try {
      return await this.json(call, schema);
    } catch (error) {
      if (error instanceof LaunchError && error.details["status"] === 404) return undefined;
      throw error;
    }
  }

  /** Makes a call and reads its whole answer. */
  async call(call: Call): Promise<Answer> {
    return this.#bounded(call, async (signal) => {
      const response = await this.#retried(call, signal);
      const { statusCode: status = 0, headers } = response;
      const isError = !isFine(status, call);
      const text = await readAll(response, isError ? MAX_REFUSAL_BYTES : MAX_ANSWER_BYTES, call);
      if (isError) throw engineRefusal(call.what, status, text);
      return { status, text, headers };
    });
  }

  /** Makes a call whose answer is read while it comes. The deadline covers the wait for its beginning, the signal all of it. */
  async stream(call: Call): Promise<Readable> {
    const response = await this.#bounded(call, (signal) => this.#begin(call, signal));
    const { statusCode: status = 0 } = response;
    if (isFine(status, call)) return cancellable(response, call.signal);
    throw engineRefusal(call.what, status, await readAll(response, MAX_REFUSAL_BYTES, call));
  }

  /** Takes a connection over for raw bytes in both directions. */
  async hijack(call: Call): Promise<Duplex> {
    return this.#bounded(call, async (signal) => {
      const { connection, refusal } = await this.#upgrade(call, signal);
      if (connection !== undefined) return connection;
      const { statusCode: status = 0 } = refusal;
      const text = await readAll(refusal, MAX_REFUSAL_BYTES, call);
      throw engineRefusal(call.what, status, text);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  /** A kept connection may have been closed by the engine meanwhile; what changes nothing is asked again. */
  async #retried(call: Call, signal: AbortSignal): Promise<IncomingMessage> {
    const used: { request?: ClientRequest } = {};
    try {
      return await this.#begin(call, signal, used);
    } catch (error) {
      const isStale = used.request?.reusedSocket === true && systemCode(error) === "ECONNRESET";
      if (!isStale || call.method !== "GET") throw error;
      return this.#begin(call, signal);
    }
  }

  async #begin(
    call: Call,
    signal: AbortSignal,
    used: { request?: ClientRequest } = {},
  ): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const sent = this.#request(call, signal, {});
    used.request = sent;
    sent.once("response", resolve);
    sent.on("error", reject);
    if (call.archive === undefined) {
      sent.end(call.body === undefined ? undefined : JSON.stringify(call.body));
    } else {
      // An engine that refuses early stops reading: its answer counts, not our broken pipe.
      void pipeline(call.archive, sent).catch(reject);
    }
    return promise;
  }

  async #upgrade(call: Call, signal: AbortSignal): Promise<Upgraded> {
    const { promise, resolve, reject } = Promise.withResolvers<Upgraded>();
    const sent = this.#request(call, signal, { connection: "Upgrade", upgrade: "tcp" });
    sent.once("upgrade", (_response, connection: Duplex, head) => {
      if (head.length > 0) connection.unshift(head);
      resolve({ connection });
    });
    sent.once("response", (refusal) => resolve({ connection: undefined, refusal }));
    sent.on("error", reject);
    sent.end(call.body === undefined ? undefined : JSON.stringify(call.body));
    return promise;
  }

  #request(call: Call, signal: AbortSignal, headers: Record<string, string>): ClientRequest {
    const type = call.archive === undefined ? "application/json" : TAR;
    const hasBody = call.archive !== undefined || call.body !== undefined;
    const isTls = this.endpoint.kind === "tcp" && this.endpoint.tls !== undefined;
    return http.request({
      ...this.#base,
      protocol: isTls ? "https:" : "http:",
      agent: this.#agent,
      method: call.method,
      path: `${this.prefix}${call.path}${renderQuery(call.query)}`,
      headers: {
        ...(hasBody ? { "content-type": type } : {}),
        ...headers,
      },
      signal,
    });
  }

  /** Runs work under the call's deadline and signal, and turns a broken connection into words. */
  async #bounded<T>(call: Call, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { what, signal, timeoutMs = DEFAULT_TIMEOUT_MS } = call;
    signal?.throwIfAborted();
    const stop = new AbortController();
    const cancel = (): void => stop.abort();
    signal?.addEventListener("abort", cancel, { once: true });
    const timer = timeoutMs === Infinity ? undefined : setTimeout(cancel, timeoutMs);
    try {
      return await work(stop.signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (stop.signal.aborted) {
        throw new TimeoutError(`${what}: the container engine did not answer in ${timeoutMs} ms`, {
          cause: error,
          hint: "see whether docker info answers",
        });
      }
      if (error instanceof BottleError || systemCode(error) === undefined) throw error;
      throw engineUnreachable(what, this.endpoint, error);
    } finally {
      signal?.removeEventListener("abort", cancel);
      clearTimeout(timer);
    }
  }
}

/** A name or id as one part of a path. */
export function part(name: string): string {
  return encodeURIComponent(name);
}

/** A reader of a cancelled answer gets the signal's reason. */
function cancellable(response: Readable, signal: AbortSignal | undefined): Readable {
  if (signal === undefined) return response;
  const cancel = (): void => {
    const reason: unknown = signal.reason;
    response.destroy(reason instanceof Error ? reason : new Error(String(reason)));
  };
  signal.addEventListener("abort", cancel, { once: true });
  response.once("close", () => signal.removeEventListener("abort", cancel));
  if (signal.aborted) cancel();
  return response;
}

function renderQuery(query: Call["query"]): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {}))
    for (const item of Array.isArray(value) ? value : [value])
      if (item !== undefined) given.append(name, String(item));
  const text = given.toString();
  return text === "" ? "" : `?${text}`;
}

function isFine(status: number, call: Call): boolean {
  return (status >= 200 && status < 300) || (call.accepts?.includes(status) ?? false);
}

function toBuffer(chunk: unknown): Buffer {
  return chunk instanceof Uint8Array ? Buffer.from(chunk) : Buffer.from(String(chunk));
}

async function readAll(response: Readable, maxBytes: number, call: Call): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    const bytes = toBuffer(chunk);
    size += bytes.length;
    if (size > maxBytes) throw misunderstood(call, `its answer is over ${maxBytes} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function misunderstood(call: Call, why: string, cause?: unknown): LaunchError {
  const message = `${call.what} failed: the container engine's answer was not understood: ${why}`;
  return new LaunchError("launch.backend", message, { cause });
}
