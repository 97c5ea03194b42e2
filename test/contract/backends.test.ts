import { openBackend } from "../../src/index.ts";
import { createFakeBackend } from "../../src/testing/index.ts";
import { requires } from "../support/requires.ts";
import { describeBackend } from "./backend-suite.ts";

describeBackend("fake", () => Promise.resolve(createFakeBackend()), {});
describeBackend("bubblewrap", () => openBackend("bubblewrap"), requires("bwrap", "userns"));
