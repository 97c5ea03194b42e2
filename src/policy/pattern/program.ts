/** Turns a pattern's tree into states with edges, bounded in number: time to match is at most states times characters. */
import { assertNever } from "../../base/assert.ts";
import type { CodeSet, PatternNode } from "./syntax.ts";

/** Most states of one pattern; counts are written out, so `.{1000}` has a thousand. */
export const MAX_STATES = 1000;

/** One state: takes a character, goes on without one, or ends. */
export type State =
  | { readonly kind: "take"; readonly set: CodeSet; readonly next: number }
  | { readonly kind: "split"; next: readonly number[] }
  /** Goes on only at the beginning, or only at the end, of the text. */
  | { readonly kind: "start" | "end"; readonly next: number }
  | { readonly kind: "accept" };

/** States with the number of the first one. */
export interface Program {
  readonly states: readonly State[];
  readonly first: number;
}

/** Builds the states of a tree; undefined when they are too many. */
export function buildProgram(node: PatternNode): Program | undefined {
  const builder = new Builder();
  const first = builder.emit(node, builder.add({ kind: "accept" }));
  return builder.isFull ? undefined : { states: builder.states, first };
}

/** Builds backwards: each part knows the state that follows it. */
class Builder {
  readonly states: State[] = [];
  isFull = false;

  add(state: State): number {
    if (this.states.length >= MAX_STATES) this.isFull = true;
    else this.states.push(state);
    return this.states.length - 1;
  }

  emit(node: PatternNode, next: number): number {
    if (this.isFull) return next;
    switch (node.kind) {
      case "set":
        return this.add({ kind: "take", set: node.set, next });
      case "start":
      case "end":
        return this.add({ kind: node.kind, next });
      case "sequence":
        return node.parts.reduceRight((after, part) => this.emit(part, after), next);
      case "choice":
        return this.add({ kind: "split", next: node.options.map((it) => this.emit(it, next)) });
      case "repeat":
        return this.#repeat(node, next);
      default:
        return assertNever(node, "emit");
    }
  }

  #repeat({ node, min, max }: Extract<PatternNode, { kind: "repeat" }>, next: number): number {
    let entry = max === undefined ? this.#loop(node, next) : next;
    for (let left = (max ?? min) - min; left > 0 && !this.isFull; left -= 1) {
      entry = this.add({ kind: "split", next: [this.emit(node, entry), next] });
    }
    for (let left = min; left > 0 && !this.isFull; left -= 1) entry = this.emit(node, entry);
    return entry;
  }

  #loop(node: PatternNode, next: number): number {
    const loop: Extract<State, { kind: "split" }> = { kind: "split", next: [] };
    const entry = this.add(loop);
    loop.next = [this.emit(node, entry), next];
    return entry;
  }
}
