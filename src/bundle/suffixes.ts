/** Entry of a file beside the bundle's own: the list of public suffixes, for a bundle that is run by hand and meets a wildcard. */
import { isOpenToStrangers } from "../manifest/public-suffix.ts";

export { isOpenToStrangers };
