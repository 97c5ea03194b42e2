// Upstreams of git-gate: nothing that ssh could take for an option, and pinned keys that are what they say.
import { expect, it } from "vitest";
import { parseGitUrl, parseHostKey, parseRepoName } from "./git-url.ts";

it.each([
  ["ssh://git@Git.Example.com/a/b.git", "ssh://git@git.example.com/a/b.git"],
  ["ssh://git.example.com:2222/a", "ssh://git.example.com:2222/a"],
  ["ssh://git@192.0.2.1/a", "ssh://git@192.0.2.1/a"],
  ["ssh://git@[2001:DB8::1]:22/a", "ssh://git@[2001:db8::1]:22/a"],
  ["ssh://git@git.example.com/~team/a.git", "ssh://git@git.example.com/~team/a.git"],
])("%s", (text, expected) => {
  expect(parseGitUrl(text)).toEqual({ kind: "ok", value: expected });
});

it.each([
  "https://git.example.com/a",
  "git@git.example.com:a/b.git",
  "ssh://git:secret@git.example.com/a",
  "ssh://-oProxyCommand=x@git.example.com/a",
  "ssh://git@-oProxyCommand=x/a",
  "ssh://git@git.example.com/-x",
  "ssh://git@git.example.com/a/../b",
  "ssh://git@git.example.com/",
  "ssh://git@git.example.com",
  "ssh://git@git.example.com:x/a",
  "ssh://git@git.example.com/a b",
  "ssh://git@git.example.com/a\nb",
  "ssh://git@git.example.com/$(x)",
  "ext::sh -c x",
  "file:///etc",
])("%j is refused", (text) => {
  expect(parseGitUrl(text).kind).toBe("fault");
});

const blob = Buffer.concat([
  Buffer.from([0, 0, 0, 11]),
  Buffer.from("ssh-ed25519"),
  Buffer.from([0, 0, 0, 32]),
  Buffer.alloc(32, 7),
]).toString("base64");

it("a host key names the type it holds", () => {
  expect(parseHostKey(` ssh-ed25519  ${blob} `)).toEqual({
    kind: "ok",
    value: `ssh-ed25519 ${blob}`,
  });
  expect(parseHostKey(`ssh-rsa ${blob}`).kind).toBe("fault");
  expect(parseHostKey(`ssh-ed25519 ${blob} comment`).kind).toBe("fault");
  expect(parseHostKey(`ssh-ed25519 ${"A".repeat(40)}`).kind).toBe("fault");
  expect(parseHostKey("ssh-ed25519").kind).toBe("fault");
});

it.each(["a", "A.b_c-1"])("%s is a repository's name", (text) => {
  expect(parseRepoName(text).kind).toBe("ok");
});

it.each(["", ".", "..", "a/b", "-a", "a.git", "a.GIT", "a.lock", "a..b", "a b", "a".repeat(101)])(
  "%j is not a repository's name",
  (text) => {
    expect(parseRepoName(text).kind).toBe("fault");
  },
);
