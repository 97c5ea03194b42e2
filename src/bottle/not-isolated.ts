/** The one error of a guest that could reach what it must not. */
import { LaunchError } from "../base/errors.ts";

/** Says what was found; the launch ends with it. */
export function notIsolated(what: string, hint?: string): LaunchError {
  return new LaunchError("launch.not-isolated", `the guest is not isolated: ${what}`, {
    hint: hint ?? "run bot-bottle doctor; the bottle was closed",
  });
}
