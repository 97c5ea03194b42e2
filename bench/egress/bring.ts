// Brings the proxies that are compared with, for the benchmark only: pinned below .tools/bench, never dependencies.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PEER_SCRIPTS } from "./peer-scripts.ts";
import { TOOLS } from "./world.ts";

const QUIET = { stdio: ["ignore", 2, 2] as ["ignore", number, number] };

const SQUID_PACKAGES = [
  "squid-openssl",
  "squid-common",
  "squid-langpack",
  "libecap3",
  "libltdl7",
  "libnetfilter-conntrack3",
  "libnfnetlink0",
  "libtdb1",
  "libxml2",
  "libdb5.3",
];

/** Debian's squid, unpacked beside everything else instead of being installed. */
export function bringSquid(): {
  readonly program: string;
  readonly certgen: string;
  readonly share: string;
  readonly version: string;
  readonly env: Readonly<Record<string, string>>;
} {
  const root = join(TOOLS, "squid");
  if (!existsSync(join(root, "usr/sbin/squid"))) {
    const packages = join(TOOLS, "packages");
    mkdirSync(packages, { recursive: true });
    execFileSync("apt-get", ["download", "-q", ...SQUID_PACKAGES], { ...QUIET, cwd: packages });
    for (const file of readdirSync(packages)) {
      execFileSync("dpkg", ["-x", join(packages, file), root], QUIET);
    }
  }
  const env = { LD_LIBRARY_PATH: join(root, "usr/lib/x86_64-linux-gnu") };
  const program = join(root, "usr/sbin/squid");
  const said = execFileSync(program, ["-v"], { env: { ...process.env, ...env } }).toString();
  return {
    program,
    certgen: join(root, "usr/lib/squid/security_file_certgen"),
    share: join(root, "usr/share/squid"),
    version: /Version ([\d.]+)/.exec(said)?.[1] ?? "?",
    env,
  };
}

const MITMPROXY = "11.0.2";

/** mitmproxy of the Python package index, in an environment of its own. */
export function bringMitmproxy(): { readonly program: string; readonly version: string } {
  const root = join(TOOLS, "mitmproxy");
  const program = join(root, "bin/mitmdump");
  if (!existsSync(program)) {
    execFileSync("python3", ["-m", "venv", root], QUIET);
    execFileSync(join(root, "bin/pip"), ["install", "-q", `mitmproxy==${MITMPROXY}`], QUIET);
  }
  return { program, version: MITMPROXY };
}

const NPM = { mockttp: "4.6.5", "@anthropic-ai/sandbox-runtime": "0.0.83" } as const;

/** mockttp and the proxy of sandbox-runtime. */
export function bringNpm(): { readonly mockttp: string; readonly srt: string } {
  const wanted = Object.entries(NPM);
  const isThere = wanted.every(([name, version]) => {
    const file = join(TOOLS, "node_modules", name, "package.json");
    return existsSync(file) && readFileSync(file, "utf8").includes(`"version": "${version}"`);
  });
  if (!isThere) {
    const names = wanted.map(([name, version]) => `${name}@${version}`);
    const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save"];
    execFileSync("npm", ["install", "--prefix", TOOLS, ...flags, ...names], QUIET);
  }
  for (const [name, text] of Object.entries(PEER_SCRIPTS)) {
    writeFileSync(join(TOOLS, `${name}-peer.mjs`), text);
  }
  return { mockttp: NPM.mockttp, srt: NPM["@anthropic-ai/sandbox-runtime"] };
}
