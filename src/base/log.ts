/** The log port: JSON lines with pino's field names. Never the audit log, never output. Never given a secret's value. */
import { type Clock, systemClock } from "./clock.ts";
import { messageOf, systemCode } from "./errors.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

const LEVEL_NUMBER: Readonly<Record<LogLevel, number>> = {
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
};

/** Makes a logger that hands finished lines (with newline) to `write`. Never throws for what it is given to log. */
export function createLogger(
  write: (line: string) => void,
  fields: LogFields = {},
  clock: Clock = systemClock,
): Logger {
  const line = (level: LogLevel, msg: string, extra: LogFields | undefined): void => {
    const fixed = { level: LEVEL_NUMBER[level], time: clock.now() };
    // The fixed ones stand first, as people read them, and win over fields of the same name.
    write(`${renderLine({ ...fixed, ...fields, ...extra, ...fixed, msg })}\n`);
  };
  return {
    debug: (m, f) => line("debug", m, f),
    info: (m, f) => line("info", m, f),
    warn: (m, f) => line("warn", m, f),
    error: (m, f) => line("error", m, f),
    child: (f) => createLogger(write, { ...fields, ...f }, clock),
  };
}

function renderLine(line: LogFields): string {
  try {
    return JSON.stringify(line, renderValue);
  } catch (error) {
    const { level, time, msg } = { level: line["level"], time: line["time"], msg: line["msg"] };
    return JSON.stringify({ level, time, msg, unloggable: messageOf(error) });
  }
}

/** Errors have no enumerable keys and big integers no JSON: both would be lost, the latter with the line. */
function renderValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (!(value instanceof Error)) return value;
  return { name: value.name, message: value.message, code: systemCode(value) };
}

const drop = (): void => undefined;

/** A logger that drops everything. */
export const silentLogger: Logger = {
  debug: drop,
  info: drop,
  warn: drop,
  error: drop,
  child: () => silentLogger,
};

/** The only way to ignore a failure: it is logged at debug with the reason why it does not matter. */
export async function ignore(
  promise: Promise<unknown>,
  why: string,
  log: Logger = silentLogger,
): Promise<void> {
  try {
    await promise;
  } catch (error) {
    log.debug("ignored", { why, error: messageOf(error) });
  }
}
