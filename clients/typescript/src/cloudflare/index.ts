// Cloudflare's AI Search binding, answered by a secondpass server.

import { AiSearchApi, type AiSearchClientOptions } from "./api.js";
import { AiSearchNamespace } from "./instances.js";

/**
 * Return what a Worker has as `env.AI_SEARCH`, the binding `ai_search_namespaces`; `.get(name)`
 * of it is what the binding `ai_search` is.
 *
 * Errors are those of this package under the binding's names: "AiSearchNotFoundError",
 * "AiSearchInternalError" and "AiSearchNameNotSetError".
 */
export function createAiSearch(options: AiSearchClientOptions): AiSearchNamespace {
  return new AiSearchNamespace(new AiSearchApi(options));
}

export type { AiSearchClientOptions } from "./api.js";
export { AiSearchInstance, AiSearchNamespace } from "./instances.js";
export { AiSearchItem, AiSearchItems, type AiSearchContent } from "./items.js";
export { AiSearchJob, AiSearchJobs } from "./jobs.js";
export type * from "./types.js";
