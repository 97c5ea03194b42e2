/** Decides which credential the agent's provider gets: a token that the bottle names, the operator's own login, or none. Pure. */
import { ManifestError } from "../base/errors.ts";
import { contains } from "../manifest/host-paths.ts";
import type { Manifest } from "../manifest/types.ts";
import type { HostLogin } from "../providers/host-login.ts";
import type { Provider } from "../providers/provider.ts";
import type { CredentialRef, Facts, HostLoginRef, SecretPlan, StartOptions } from "./plan.ts";

/** A provider's credential; `login` is what is known of the operator's own login, where it is that. */
export interface ProviderCredential {
  readonly ref: CredentialRef;
  readonly login: HostLogin | undefined;
}

/** Resolves the provider's credential. Throws ManifestError, or LaunchError when the operator's login cannot be used. */
export function resolveCredential(
  manifest: Manifest,
  provider: Provider,
  facts: Facts,
  options: StartOptions,
): ProviderCredential | undefined {
  const { authToken, forwardHostCredentials } = manifest.bottle.provider;
  if (!forwardHostCredentials) return authToken && { ref: authToken, login: undefined };
  if (authToken !== undefined) {
    throw invalid(
      "is given beside auth_token; one of both is expected",
      "remove one of them from agent_provider",
    );
  }
  const { hostLogin } = facts;
  if (hostLogin === undefined) {
    throw invalid(
      `is not for provider ${provider.name}, which keeps no login`,
      "use agent_provider.auth_token, or remove it",
    );
  }
  if ("fault" in hostLogin) throw hostLogin.fault;
  refuseShown(hostLogin.ref.path, manifest, facts, options);
  return { ref: hostLogin.ref, login: hostLogin.login };
}

/** The file itself must not come into the guest by another way. */
function refuseShown(
  path: string,
  manifest: Manifest,
  { userCwd }: Facts,
  { copyCwd }: StartOptions,
): void {
  const mount = manifest.bottle.mounts.find(({ host }) => contains(host, path));
  if (mount !== undefined) {
    throw invalid(
      `keeps a login from the guest that the mount of ${mount.host} would show it`,
      "mount a narrower path",
    );
  }
  if (copyCwd && contains(userCwd, path)) {
    throw invalid(
      `keeps a login from the guest that lies in the workspace, ${userCwd}`,
      "start from the directory of a project",
    );
  }
}

/** Slots that hold a login, with its place. */
export function loginSlots(
  secrets: readonly SecretPlan[],
): readonly { readonly slot: string; readonly ref: HostLoginRef }[] {
  return secrets.flatMap(({ slot, source }) =>
    source.kind === "host-login" ? [{ slot, ref: source }] : [],
  );
}

function invalid(what: string, hint: string): ManifestError {
  return new ManifestError("manifest.invalid", `agent_provider.forward_host_credentials ${what}`, {
    hint,
  });
}
