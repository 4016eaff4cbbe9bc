export { Secondpass } from "./client.js";
export * from "./errors.js";
export { readEvents, type ServerSentEvent } from "./event-stream.js";
export {
  Indexes,
  type FileContent,
  type FileOptions,
  type FileOutcome,
  type FileProgress,
  type UploadOptions,
  type UploadProgress,
} from "./indexes.js";
export { QuerySets } from "./query-sets.js";
export type { CallOptions, ClientOptions } from "./transport.js";
export type * from "./types.js";
