// Backends whose guests differ from the real ones in one respect, to see a launch refuse them.
import type { Backend, Guest } from "../../src/index.ts";

/** A backend whose guests differ in one respect. */
export function alter(backend: Backend, change: (guest: Guest) => Partial<Guest>): Backend {
  return {
    ...backend,
    name: backend.name,
    probe: (ports) => backend.probe(ports),
    reap: (resources, ports) => backend.reap(resources, ports),
    launch: async (plan, context) => {
      const guest = await backend.launch(plan, context);
      const changes = change(guest);
      return new Proxy(guest, {
        get: (target, key) => {
          if (key in changes) return Reflect.get(changes, key);
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    },
  };
}
