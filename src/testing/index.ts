/** Fakes for tests of what uses the SDK: each passes the same contract suite as the real thing. Nothing starts at import. */

export { ANTHROPIC_HOST, openFakeAnthropic } from "./fake-anthropic.ts";
export { createFakeBackend, type FakeBackendOptions } from "./fake-backend.ts";
export { createFakeBundleHost, type FakeBundleHandle, type FakeBundleHost } from "./fake-bundle.ts";
export {
  type FakeModelApi,
  type FakeModelOptions,
  type SeenRequest,
  type ServerIdentity,
} from "./fake-model-server.ts";
export { OPENAI_HOST, openFakeOpenAi } from "./fake-openai.ts";
