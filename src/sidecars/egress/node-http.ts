/**
 * Node's http module, loaded the quick way. An import statement would evaluate all its exports, among them a whole HTTP
 * client and WebSocket that nothing here uses, at the price of half the bundle's start-up time.
 */
export const http: typeof import("node:http") = process.getBuiltinModule("node:http");
