// The same attempts against the egress of a container's bottle: with the doors as sockets of the host, and with the bundle as a
// container of its own on a network of the two.
import { afterAll, beforeAll, describe } from "vitest";
import { type EgressAttack, openEgressAttack } from "../support/egress-attack.ts";
import { requires } from "../support/requires.ts";
import { rulesSuite } from "./egress-rules-suite.ts";
import { egressSuite } from "./egress-suite.ts";

describe.each(["sockets", "internal"] as const)(
  "egress of a container with the attachment %s",
  requires("docker", "root"),
  (place) => {
    let attack: EgressAttack;
    beforeAll(async () => {
      attack = await openEgressAttack(place);
    });
    afterAll(() => attack?.[Symbol.asyncDispose]());
    egressSuite(() => attack);
    describe("has rules that", () => rulesSuite(() => attack));
  },
);
