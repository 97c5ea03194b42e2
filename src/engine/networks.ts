/** Network calls. */
import { labelFilter, untilMade } from "./containers.ts";
import type { Networks } from "./contract.ts";
import { createdSchema, networkSchema, networksSchema } from "./schemas.ts";
import { part, type Transport } from "./transport.ts";

const NOT_FOUND = 404;

/** Calls on networks of one engine. */
export function openNetworks(transport: Transport): Networks {
  return {
    create: async (body, options) => {
      const what = `creating network "${body.Name}"`;
      const call = { what, method: "POST" as const, path: "/networks/create", body };
      return (await transport.json({ ...untilMade(options), ...call }, createdSchema)).Id;
    },
    connect: async (network, container, endpoint, options) => {
      await transport.call({
        ...options,
        what: `connecting container "${container}" to network "${network}"`,
        method: "POST",
        path: `/networks/${part(network)}/connect`,
        body: { Container: container, EndpointConfig: endpoint ?? {} },
      });
    },
    inspect: (network, options) => {
      const call = { what: `inspecting network "${network}"`, path: `/networks/${part(network)}` };
      return transport.jsonIfThere({ ...options, ...call, method: "GET" }, networkSchema);
    },
    list: (labels, options) =>
      transport.json(
        {
          ...options,
          what: "listing networks",
          method: "GET",
          path: "/networks",
          query: { filters: labelFilter(labels) },
        },
        networksSchema,
      ),
    remove: async (network, options) => {
      await transport.call({
        ...options,
        what: `removing network "${network}"`,
        method: "DELETE",
        path: `/networks/${part(network)}`,
        accepts: [NOT_FOUND],
      });
    },
  };
}
