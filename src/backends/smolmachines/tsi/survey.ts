/** What planning must know for attachment `tsi`: that smolvm is of its family, and which subnets are taken for the bundle's network. */
import { openEngine } from "../../../engine/engine.ts";
import type { BackendPorts, BackendSurvey, SurveyRequest } from "../../contract.ts";
import { hostSubnets } from "../../shared/host-subnets.ts";
import { openSmolvm } from "../prepare.ts";
import { requireTsi } from "./require-tsi.ts";

/** Throws HostError `host.backend-unavailable` where smolvm is of another family, or there is no engine for the bundle. */
export async function surveyTsi(
  request: SurveyRequest,
  ports: BackendPorts,
): Promise<BackendSurvey> {
  const { features } = await openSmolvm(ports, request.cacheDir);
  requireTsi(features);
  using engine = await openEngine(ports.env);
  const networks = await engine.networks.list({});
  const known = networks.flatMap(({ IPAM }) => IPAM.Config.map(({ Subnet }) => Subnet));
  const subnets = [...new Set([...known, ...hostSubnets()])].filter((it) => it !== "");
  return { attachment: "tsi", takenSubnets: subnets };
}
