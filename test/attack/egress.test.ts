// Attempts from inside a bottle on bubblewrap against its egress, as root and as an ordinary user.
import { afterAll, beforeAll, describe } from "vitest";
import { modesHere } from "../support/attack-world.ts";
import { type EgressAttack, openEgressAttack } from "../support/egress-attack.ts";
import { requires } from "../support/requires.ts";
import { rulesSuite } from "./egress-rules-suite.ts";
import { egressSuite } from "./egress-suite.ts";

describe.each(modesHere())(
  "egress of a bottle that %s owns",
  requires("bwrap", "userns"),
  (mode) => {
    let attack: EgressAttack;
    beforeAll(async () => {
      attack = await openEgressAttack(mode);
    });
    afterAll(() => attack?.[Symbol.asyncDispose]());
    egressSuite(() => attack);
    describe("has rules that", () => rulesSuite(() => attack));
  },
);
