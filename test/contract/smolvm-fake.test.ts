// The contract on the smolmachines backend with a fake smolvm, whose machines are sandboxes: everything of ours, nothing of KVM.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSmolmachines } from "../../src/backends/smolmachines/backend.ts";
import { type Backend, parseHostPath } from "../../src/index.ts";
import { makeFakeSmolvm } from "../support/fake-smolvm.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";
import { describeBackend } from "./backend-suite.ts";

function openFake(): Promise<Backend> {
  const root = tempDir("smolvm-fake-");
  const rootfs = join(root, "rootfs");
  mkdirSync(join(rootfs, "bin"), { recursive: true });
  writeFileSync(join(rootfs, "bin/sh"), "");
  const env = { BOT_BOTTLE_SMOLVM: makeFakeSmolvm(join(root, "bin")), HOME: root };
  const image = { kind: "reference", reference: rootfs } as const;
  const cacheDir = parseHostPath(join(root, "cache"));
  const { launch, reap } = createSmolmachines({
    lookAtKvm: () => ({ kind: "open", gid: undefined }),
  });
  return Promise.resolve({
    // Planning asks the backend of a name; the operator's environment of a test names no smolvm.
    name: "fake",
    probe: () => Promise.reject(new Error("nobody probes it")),
    launch: (plan, context) =>
      launch(
        { ...plan, image, cacheDir },
        { ...context, ports: { ...context.ports, env: { ...context.ports.env, ...env } } },
      ),
    reap,
  });
}

describeBackend("smolmachines on a fake smolvm", openFake, requires("bwrap", "userns"));
