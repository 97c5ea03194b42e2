// What --allow takes, and what it says to write instead.
import { describe, expect, it } from "vitest";
import { UsageError } from "../base/errors.ts";
import { parseAllow } from "./parse-allow.ts";

function refusal(text: string): { readonly message: string; readonly hint: string } {
  try {
    parseAllow(text);
  } catch (error) {
    if (error instanceof UsageError) return { message: error.message, hint: error.hint ?? "" };
    throw error;
  }
  throw new Error(`${text} was taken`);
}

describe("--allow", () => {
  it.each([
    ["registry.example.com", { host: "registry.example.com", port: undefined }],
    ["Registry.Example.COM:8443", { host: "registry.example.com", port: 8443 }],
  ])("takes %s", (text, host) => {
    expect(parseAllow(text)).toEqual(host);
  });

  it.each([
    ["10.0.0.1", '"10.0.0.1"'],
    ["10.0.0.1:8080", '"10.0.0.1:8080"'],
    ["[::1]", '"[::1]"'],
    ["[::1]:443", '"[::1]:443"'],
    ["::1", '"::1"'],
    ["localhost", '"127.0.0.1"'],
    ["localhost:3000", '"127.0.0.1:3000"'],
  ])("says how %s gets a name", (text, address) => {
    const { message, hint } = refusal(text);
    expect(message).toMatch(/is an IP address|is this machine/);
    expect(hint).toContain("egress.resolve");
    expect(hint).toContain(address);
    expect(hint).toContain("--allow my-host.internal");
  });

  it.each(["*", "*.com", "*.example.com", "a.*.example.com", "*.com:8443"])(
    "has one message for the wildcard %s",
    (text) => {
      const { message, hint } = refusal(text);
      expect(message).toContain("has a wildcard, which --allow does not take");
      expect(hint).toMatch(/^name the host/);
      expect(hint.includes("egress.routes")).toBe(text === "*.example.com");
    },
  );

  it.each([
    ["https://api.example.com/v1", "--allow api.example.com"],
    ["http://api.example.com:8080", "--allow api.example.com:8080"],
    ["a b", "--allow registry.example.com"],
    ["x.example.com:99999", "--allow registry.example.com"],
    ["", "--allow registry.example.com"],
    ["*.example.com", "egress.routes"],
    ["*", "--allow registry.example.com"],
  ])("refuses %s and says what to write", (text, hint) => {
    expect(refusal(text).hint).toContain(hint);
  });
});
