// What the servers of real clients hand out: a bare git repository, a package of npm and a wheel of pip, made with the machine's
// own programs; and Go's client, which has to be built.
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PROGRAMS = join(import.meta.dirname, "../fixtures/programs/clients");
const BUILD_DEADLINE_MS = 240_000;

const WHEEL = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    wheel.writestr("greeting.py", "TEXT = 'hello of pip'\\n")
    wheel.writestr("greeting-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: greeting\\nVersion: 1.0\\n")
    wheel.writestr("greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("greeting-1.0.dist-info/RECORD", "greeting.py,,\\ngreeting-1.0.dist-info/METADATA,,\\ngreeting-1.0.dist-info/WHEEL,,\\ngreeting-1.0.dist-info/RECORD,,\\n")
`;

/** Paths of what the servers need, below `root`. */
export interface ClientPackages {
  readonly repositories: string;
  readonly tarball: string;
  readonly wheel: string;
  /** Programs of the clients, to be shown to the guest. */
  readonly programs: string;
}

/** Makes everything but Go's client. */
export function makeClientPackages(root: string): ClientPackages {
  const at = (name: string): string => join(root, name);
  const run = (file: string, ...args: readonly string[]): void => {
    execFileSync(file, args, {
      cwd: root,
      stdio: "ignore",
      env: { ...process.env, GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_SYSTEM: "/dev/null" },
    });
  };
  mkdirSync(at("package"), { recursive: true });
  writeFileSync(at("package/package.json"), '{"name":"greeting","version":"1.0.0"}');
  writeFileSync(at("package/index.js"), "module.exports = 'hello of npm';\n");
  run("tar", "-czf", at("greeting.tgz"), "package");
  run("python3", "-c", WHEEL, at("greeting-1.0-py3-none-any.whl"));
  const who = ["-c", "user.name=tests", "-c", "user.email=tests@example.test"];
  run("git", "init", "-q", "-b", "main", "work");
  writeFileSync(at("work/hello"), "hello of git\n");
  run("git", "-C", "work", "add", "hello");
  run("git", ...who, "-C", "work", "commit", "-q", "-m", "hello");
  run("git", "clone", "-q", "--bare", "work", "repositories/hello.git");
  cpSync(PROGRAMS, at("programs"), { recursive: true });
  chmodSync(at("programs"), 0o755);
  return {
    repositories: at("repositories"),
    tarball: at("greeting.tgz"),
    wheel: at("greeting-1.0-py3-none-any.whl"),
    programs: at("programs"),
  };
}

/** Builds Go's client among the programs, in one file that needs no library. */
export function buildGoClient({ programs }: ClientPackages): void {
  execFileSync("go", ["build", "-o", join(programs, "go-client"), join(programs, "main.go")], {
    stdio: ["ignore", "ignore", "pipe"],
    timeout: BUILD_DEADLINE_MS,
    env: { ...process.env, CGO_ENABLED: "0", GO111MODULE: "off", GOFLAGS: "" },
  });
}
