/** Guest variables that lead programs to the bundle's doors. Pure. */
import type { DoorPlan } from "../backends/contract.ts";

/** Names that are never asked of the proxy: the guest itself and the doors. */
const DIRECT_HOSTS = ["localhost", "127.0.0.1", "::1", "egress", "git-gate", "supervise"] as const;

/** Proxy variables for the doors that exist; no variable names a door that does not. */
export function proxyEnv(doors: readonly DoorPlan[]): Readonly<Record<string, string>> {
  const env: Record<string, string> = {};
  for (const door of doors) {
    const url = `http://${door.hostname}:${door.port}`;
    if (door.name === "proxy") Object.assign(env, proxyVariables(url, doors));
    if (door.name === "git") env["GIT_GATE_URL"] = url;
    if (door.name === "supervise") env["MCP_SUPERVISE_URL"] = `${url}/`;
  }
  return env;
}

function proxyVariables(url: string, doors: readonly DoorPlan[]): Record<string, string> {
  const direct = [...new Set([...DIRECT_HOSTS, ...doors.map((it) => it.hostname)])].join(",");
  return {
    HTTP_PROXY: url,
    HTTPS_PROXY: url,
    http_proxy: url,
    https_proxy: url,
    // Python's programs look a proxy up by the scheme of the address, and that of a WebSocket is its own.
    WSS_PROXY: url,
    wss_proxy: url,
    NO_PROXY: direct,
    no_proxy: direct,
    // Node reads the proxy variables only when told to.
    NODE_USE_ENV_PROXY: "1",
  };
}
