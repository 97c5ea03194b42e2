/**
 * Runs a program over a text, all states at once, so that no text makes it go back. What was computed for a set of states is
 * kept, within a bound, and found again: then a character costs one look-up.
 */
import type { Program } from "./program.ts";
import type { CodeSet } from "./syntax.ts";

/** Most sets of states that are kept for one pattern. */
const MAX_KEPT = 500;

/** Tells whether a whole text fits. */
export type Matcher = (text: string) => boolean;

/** Makes the matcher of a program. */
export function createMatcher(program: Program): Matcher {
  const machine = new Machine(program);
  return (text) => machine.fits(text);
}

/** All states that a text may be in. */
interface Position {
  /** States that take a character. */
  readonly takers: readonly number[];
  /** Whether the text may end here. */
  readonly isAccepting: boolean;
  /** What follows, by class of the next character. */
  readonly next: (Position | undefined)[];
}

class Machine {
  readonly #program: Program;
  readonly #classes: Uint8Array;
  readonly #first: Position;
  readonly #kept = new Map<string, Position>();
  readonly #mark: Uint32Array;
  #round = 0;

  constructor(program: Program) {
    this.#program = program;
    this.#classes = classify(program);
    this.#mark = new Uint32Array(program.states.length);
    this.#first = this.#position([program.first], true);
  }

  fits(text: string): boolean {
    let at = this.#first;
    for (let index = 0; index < text.length; index += 1) {
      if (at.takers.length === 0) return false;
      const code = text.charCodeAt(index);
      if (code > 255) return false;
      at = this.#step(at, code);
    }
    return at.isAccepting;
  }

  #step(at: Position, code: number): Position {
    const kind = this.#classes[code] ?? 0;
    const known = at.next[kind];
    if (known !== undefined) return known;
    const seeds = this.#seeds(at, code);
    const key = seeds.join();
    const kept = this.#kept.get(key);
    const next = kept ?? this.#position(seeds, false);
    if (kept === undefined && this.#kept.size >= MAX_KEPT) return next;
    this.#kept.set(key, next);
    at.next[kind] = next;
    return next;
  }

  /** The states right behind the character, each once and in order. */
  #seeds(at: Position, code: number): number[] {
    const seeds = new Set<number>();
    for (const index of at.takers) {
      const state = this.#program.states[index];
      if (state?.kind === "take" && state.set[code] === 1) seeds.add(state.next);
    }
    return [...seeds].sort((a, b) => a - b);
  }

  #position(seeds: readonly number[], isStart: boolean): Position {
    const takers = this.#follow(seeds, isStart, false).takers;
    const { isAccepting } = this.#follow(seeds, isStart, true);
    return { takers, isAccepting, next: [] };
  }

  /** Everything that is reached without taking a character. */
  #follow(
    seeds: readonly number[],
    isStart: boolean,
    isEnd: boolean,
  ): { readonly takers: readonly number[]; readonly isAccepting: boolean } {
    this.#round += 1;
    const open = [...seeds];
    const takers: number[] = [];
    let isAccepting = false;
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      if (this.#mark[index] === this.#round) continue;
      this.#mark[index] = this.#round;
      const state = this.#program.states[index];
      if (state?.kind === "take") takers.push(index);
      else if (state?.kind === "split") open.push(...state.next);
      else if (state?.kind === "accept") isAccepting = true;
      else if (state !== undefined && (state.kind === "start" ? isStart : isEnd))
        open.push(state.next);
    }
    return { takers, isAccepting };
  }
}

/** Codes that no set tells apart get one class: few classes instead of 256. */
function classify({ states }: Program): Uint8Array {
  const classes = new Uint8Array(256);
  const sets = new Set<CodeSet>();
  for (const state of states) if (state.kind === "take") sets.add(state.set);
  for (const set of sets) {
    const renamed = new Map<number, number>();
    classes.forEach((kind, code) => {
      const key = kind * 2 + (set[code] ?? 0);
      if (!renamed.has(key)) renamed.set(key, renamed.size);
      classes[code] = renamed.get(key) ?? 0;
    });
  }
  return classes;
}
