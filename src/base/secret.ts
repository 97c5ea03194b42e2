/**
 * Secret values. Every way of printing one gives `[secret NAME]`; `reveal()` is the only way out and is greppable.
 * The value lives in a private field, so it does not show in inspection, JSON, spread or structured clone.
 */
import { inspect } from "node:util";

export class Secret {
  readonly name: string;
  readonly #value: string;

  constructor(name: string, value: string) {
    this.name = name;
    this.#value = value;
  }

  /** The value itself. Call it only where the value leaves for its one destination. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return `[secret ${this.name}]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** Secret values by slot or variable name. */
export type Secrets = ReadonlyMap<string, Secret>;
