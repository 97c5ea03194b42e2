import { format, inspect } from "node:util";
import { serialize } from "node:v8";
import { describe, expect, it } from "vitest";
import { createLogger } from "./log.ts";
import { Secret } from "./secret.ts";

const value = "hunter2-hunter2";
const secret = new Secret("API_KEY", value);

const WAYS: Readonly<Record<string, () => unknown>> = {
  String: () => String(secret),
  template: () => `${secret as unknown as string}`,
  addition: () => `${secret as unknown as string}!`,
  "Array.join": () => [secret].join(),
  JSON: () => JSON.stringify({ secret, list: [secret] }),
  inspect: () => inspect(secret),
  "inspect with everything shown": () =>
    inspect({ secret }, { showHidden: true, depth: 9, getters: true, customInspect: false }),
  "format %s": () => format("%s", secret),
  "format %o": () => format("%o %O", secret, secret),
  "format %j": () => format("%j", secret),
  spread: () => JSON.stringify(Object.assign({}, secret)),
  "own keys": () => Reflect.ownKeys(secret).map((key) => Reflect.get(secret, key)),
  entries: () => Object.entries(secret).flat(),
  structuredClone: () => inspect(structuredClone(secret), { showHidden: true }),
  "v8.serialize": () => serialize(secret).toString("latin1"),
  "an error's cause": () => inspect(new Error("x", { cause: secret })),
  "a log line": () => {
    let text = "";
    createLogger((line) => {
      text += line;
    }).info("x", { secret, map: new Map([["a", secret]]) });
    return text;
  },
};

describe("Secret", () => {
  it.for(Object.keys(WAYS))("does not give its value by %s", (way) => {
    expect(String(WAYS[way]?.())).not.toContain("hunter2");
  });

  it("says its name instead", () => {
    expect(String(secret)).toBe("[secret API_KEY]");
    expect(JSON.stringify([secret])).toBe('["[secret API_KEY]"]');
    expect(inspect({ secret })).toBe("{ secret: [secret API_KEY] }");
  });

  it("gives its value to who asks for it", () => {
    expect(secret.reveal()).toBe(value);
  });
});
