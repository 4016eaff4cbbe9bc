export { Secondpass } from "./client.js";
export * from "./errors.js";
export { readEvents, type ServerSentEvent } from "./event-stream.js";
export { Indexes, type UploadOptions, type UploadProgress } from "./indexes.js";
export type { CallOptions, ClientOptions } from "./transport.js";
export type * from "./types.js";
