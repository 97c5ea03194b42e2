// Sizes of the measurements.

/** Events of one stream, and the time between them. */
export const SSE_EVENTS = 40;
export const SSE_GAP_MS = 10;
/** Bytes of a large body. */
export const BODY_BYTES: number = 1024 * 1024;
/** Connections of the throughput measurement. */
export const CONNECTIONS = 32;
