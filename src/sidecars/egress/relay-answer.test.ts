// An answer on its way back: what looking for values costs must not depend on how the upstream cuts it.
import { describe, expect, it } from "vitest";
import { compileKnownSecrets, type KnownSecrets } from "../../policy/dlp/known-secrets.ts";
import { HeaderBlock } from "./header-block.ts";
import { BodyStream } from "./http1/body-stream.ts";
import { type Outgoing, STREAM_BODY } from "./message.ts";
import { relayAnswer } from "./relay-answer.ts";

const SECRET = "tok-0123456789abcdefGHIJ";

function relay() {
  const known = compileKnownSecrets([{ name: "TOKEN", value: SECRET }]);
  const seen = { text: "", searches: 0, flushes: 0, pauses: 0, isOver: false, hasRoom: true };
  const secrets: KnownSecrets = {
    ...known,
    literals: {
      ...known.literals,
      openTail: (bytes) => {
        seen.searches += 1;
        return known.literals.openTail(bytes);
      },
    },
  };
  const outgoing: Outgoing = {
    isOver: false,
    isHeadSent: false,
    onGone: undefined,
    onDrain: undefined,
    onOver: undefined,
    interim: () => undefined,
    head: () => undefined,
    write: (bytes) => {
      seen.text += bytes.toString();
      return seen.hasRoom;
    },
    flush: () => (seen.flushes += 1),
    end: () => undefined,
    reset: () => undefined,
    switchProtocols: () => undefined,
    closeAfter: () => undefined,
  };
  const source = new BodyStream({
    resume: () => undefined,
    discard: () => undefined,
    pause: () => (seen.pauses += 1),
  });
  const head = { status: 200, reason: "OK", block: HeaderBlock.of([]), framing: STREAM_BODY };
  const relayed = relayAnswer(head, source, outgoing, {
    secrets,
    isHead: false,
    onSample: undefined,
    onEnd: () => (seen.isOver = true),
  });
  const push = (text: string): void => {
    source.push(Buffer.from(text));
    source.settle();
  };
  return { source, seen, push, relayed };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("an answer in which values are looked for", () => {
  it("costs no search for each byte, and waits for no more than a turn", async () => {
    const { seen, push, source } = relay();
    const text = `it is ${SECRET}, `.repeat(1000);
    for (const letter of text) push(letter);
    await turn();
    expect(seen.text).toBe(text.replaceAll(SECRET, "*".repeat(SECRET.length)));
    expect(seen.searches).toBeLessThan(20);
    expect(seen.flushes).toBeGreaterThan(0);
    push("one!");
    await turn();
    expect(seen.text.endsWith("one!")).toBe(true);
    push("two!");
    source.finish([]);
    expect(seen.text.endsWith("one!two!")).toBe(true);
    expect(seen.isOver).toBe(true);
  });

  it("halts the upstream when the guest takes no more, and sends nothing once it is gone", async () => {
    const { seen, push, relayed } = relay();
    seen.hasRoom = false;
    push("a");
    await turn();
    expect([seen.text, seen.pauses]).toEqual(["a", 1]);
    relayed?.resume();
    push("b");
    relayed?.cancel();
    await turn();
    expect(seen.text).toBe("a");
  });
});
