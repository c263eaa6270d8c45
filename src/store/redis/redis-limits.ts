/** A result that is larger goes by the connection for large values: small commands do not wait behind it. */
export const LARGE_BYTES = 256 * 1024;

/** Tasks of one call: Redis does nothing else for as long, a millisecond or two. */
export const TASKS_MAX = 100;
