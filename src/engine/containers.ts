/** Container and exec calls. */

import { LaunchError } from "../base/errors.ts";
import type {
  AttachOptions,
  CallOptions,
  Containers,
  EngineStream,
  Execs,
  TerminalSize,
} from "./contract.ts";
import { rawStream, splitStream } from "./hijack.ts";
import {
  containerSchema,
  containersSchema,
  createdSchema,
  execCreatedSchema,
  execSchema,
  waitSchema,
} from "./schemas.ts";
import { type Call, part, type Transport } from "./transport.ts";

const NOT_MODIFIED = 304;
const NOT_FOUND = 404;
/** Already stopped, or already being removed. */
const CONFLICT = 409;

/** Filters of list calls, as JSON in the query. */
export function labelFilter(labels: Readonly<Record<string, string | undefined>>): string {
  const label = Object.entries(labels).map(([name, value]) =>
    value === undefined ? name : `${name}=${value}`,
  );
  return JSON.stringify({ label });
}

/**
 * Options of a call that makes something. Once it is sent it is heard to its end, whatever the signal says: an engine makes it all
 * the same, and nobody would know. Throws the signal's reason before.
 */
export function untilMade({ signal, timeoutMs }: CallOptions = {}): CallOptions {
  signal?.throwIfAborted();
  return { timeoutMs };
}

function containerPath(id: string, rest = ""): string {
  return `/containers/${part(id)}${rest}`;
}

/** Calls on containers of one engine. */
export function openContainers(transport: Transport): Containers {
  return {
    ...openLives(transport),
    create: async (name, body, options) => {
      const call = { what: `creating container "${name}"`, path: "/containers/create" };
      const created = await transport.json(
        { ...untilMade(options), ...call, method: "POST", query: { name }, body },
        createdSchema,
      );
      return created.Id;
    },
    wait: (id, condition, options) => waitFor(transport, { ...options, id, condition }),
    inspect: (id, options) =>
      transport.jsonIfThere(
        {
          ...options,
          what: `inspecting container "${id}"`,
          method: "GET",
          path: containerPath(id, "/json"),
        },
        containerSchema,
      ),
    remove: async (id, options) => {
      await transport.call({
        ...options,
        what: `removing container "${id}"`,
        method: "DELETE",
        path: containerPath(id),
        query: { force: true, v: true },
        accepts: [NOT_FOUND, CONFLICT],
      });
    },
    list: (labels, options) =>
      transport.json(
        {
          ...options,
          what: "listing containers",
          method: "GET",
          path: "/containers/json",
          query: { all: true, filters: labelFilter(labels) },
        },
        containersSchema,
      ),
    ...openTransfers(transport),
  };
}

/** The calls that begin and end what runs. */
function openLives(transport: Transport): Pick<Containers, "start" | "kill"> {
  const post = (call: Omit<Call, "method">) => transport.call({ ...call, method: "POST" });
  return {
    start: async (id, options) => {
      const what = `starting container "${id}"`;
      await post({ ...options, what, path: containerPath(id, "/start"), accepts: [NOT_MODIFIED] });
    },
    kill: async (id, signal, options) => {
      const what = `sending ${signal} to container "${id}"`;
      const accepts = [NOT_FOUND, CONFLICT];
      await post({
        ...options,
        what,
        path: containerPath(id, "/kill"),
        query: { signal },
        accepts,
      });
    },
  };
}

/** The calls that move bytes. */
function openTransfers(
  transport: Transport,
): Pick<Containers, "attach" | "resize" | "export" | "putArchive"> {
  return {
    attach: (id, options) => attach(transport, id, options),
    resize: (id, size, options) =>
      resize(
        transport,
        { ...options, what: `resizing "${id}"`, path: containerPath(id, "/resize") },
        size,
      ),
    export: (id, options) =>
      transport.stream({
        ...options,
        what: `exporting container "${id}"`,
        method: "GET",
        path: containerPath(id, "/export"),
      }),
    putArchive: async (id, directory, archive, options) => {
      const call = { what: `copying into container "${id}"`, path: containerPath(id, "/archive") };
      await transport.call({
        ...options,
        ...call,
        method: "PUT",
        query: { path: directory },
        archive,
      });
    },
  };
}

interface WaitCall {
  readonly id: string;
  readonly condition: string;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

async function waitFor(transport: Transport, call: WaitCall): Promise<number> {
  const { id, condition, signal, timeoutMs = Infinity } = call;
  const what = `waiting for container "${id}"`;
  const { StatusCode, Error: fault } = await transport.json(
    {
      what,
      method: "POST",
      path: `/containers/${part(id)}/wait`,
      query: { condition },
      signal,
      timeoutMs,
    },
    waitSchema,
  );
  const said = fault?.Message ?? "";
  if (said === "") return StatusCode;
  throw new LaunchError("launch.backend", `${what} failed: the container engine says "${said}"`);
}

async function attach(
  transport: Transport,
  id: string,
  options: AttachOptions,
): Promise<EngineStream> {
  const { tty, stdin, signal, timeoutMs } = options;
  const connection = await transport.hijack({
    what: `attaching to container "${id}"`,
    method: "POST",
    path: `/containers/${part(id)}/attach`,
    query: { stream: true, stdin, stdout: true, stderr: true },
    signal,
    timeoutMs,
  });
  return tty ? rawStream(connection) : splitStream(connection);
}

async function resize(
  transport: Transport,
  call: Omit<Call, "method">,
  size: TerminalSize,
): Promise<void> {
  const query = { h: size.rows, w: size.columns };
  await transport.call({ ...call, method: "POST", query });
}

/** Calls on programs in containers of one engine. */
export function openExecs(transport: Transport): Execs {
  return {
    create: async (container, body, options) => {
      const call = {
        ...options,
        what: `preparing a program in container "${container}"`,
        method: "POST" as const,
        path: `/containers/${part(container)}/exec`,
        body,
      };
      return (await transport.json(call, execCreatedSchema)).Id;
    },
    start: async (id, options) => {
      const { tty, signal, timeoutMs } = options;
      const connection = await transport.hijack({
        what: "starting a program in a container",
        method: "POST",
        path: `/exec/${part(id)}/start`,
        body: { Detach: false, Tty: tty },
        signal,
        timeoutMs,
      });
      return tty ? rawStream(connection) : splitStream(connection);
    },
    inspect: (id, options) => {
      const call = { what: "inspecting a program in a container", path: `/exec/${part(id)}/json` };
      return transport.json({ ...options, ...call, method: "GET" }, execSchema);
    },
    resize: (id, size, options) => {
      const call = { what: "resizing a terminal", path: `/exec/${part(id)}/resize` };
      return resize(transport, { ...options, ...call }, size);
    },
  };
}
