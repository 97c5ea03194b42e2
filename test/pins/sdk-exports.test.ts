// What the SDK and the testing entry export is an interface: a red pin means "decide", never "loosen".
import { expect, it } from "vitest";
import * as sdk from "../../src/index.ts";
import * as testing from "../../src/testing/index.ts";

it("the SDK exports these values and no others", () => {
  expect(Object.keys(sdk).sort()).toMatchInlineSnapshot(`
    [
      "BACKEND_NAMES",
      "Bottle",
      "BottleError",
      "BugError",
      "CancelledError",
      "ERROR_CODES",
      "EXIT_OWN_FAILURE",
      "EXIT_STATUS",
      "EventHub",
      "GUEST_HOME",
      "GUEST_WORKSPACE",
      "HostError",
      "LAUNCH_STEPS",
      "LaunchError",
      "ManifestError",
      "PRESET_NAMES",
      "PROVIDER_NAMES",
      "PolicyDeniedError",
      "ProtocolError",
      "Secret",
      "SidecarError",
      "TimeoutError",
      "UsageError",
      "agentJsonSchema",
      "bottleJsonSchema",
      "commandPreset",
      "connectBottle",
      "createExec",
      "createLogger",
      "decideTrust",
      "explainRoute",
      "findLeftovers",
      "findOrphanObjects",
      "findOrphanRuns",
      "findUnrecorded",
      "homePaths",
      "isName",
      "isVariable",
      "listBottles",
      "listManifest",
      "loadManifest",
      "locateAgent",
      "openBackend",
      "openBottle",
      "openOwner",
      "openSafeStdio",
      "parseBottleId",
      "parseGuestPath",
      "parseHostPath",
      "planStart",
      "presetNamed",
      "providerNamed",
      "readConfirmations",
      "readHostTree",
      "reap",
      "removeBottle",
      "removeOrphanObject",
      "removeOrphanRun",
      "resolvePlan",
      "resolveSecrets",
      "saveConfirmation",
      "silentLogger",
      "strongestBackend",
      "writeHostTree",
    ]
  `);
});

it("the testing entry exports these values and no others", () => {
  expect(Object.keys(testing).sort()).toMatchInlineSnapshot(`
    [
      "ANTHROPIC_HOST",
      "OPENAI_HOST",
      "createFakeBackend",
      "createFakeBundleHost",
      "openFakeAnthropic",
      "openFakeOpenAi",
    ]
  `);
});
