/** How the operator gets a bottle's work. */
import { GUEST_HOME, GUEST_WORKSPACE } from "../index.ts";

/** The command that copies the work of a bottle into the current directory. */
export function bringBackCommand(slug: string, hasWorkspace: boolean): string {
  return `bot-bottle cp ${slug}:${hasWorkspace ? GUEST_WORKSPACE : GUEST_HOME} ./${slug}`;
}
