// Type tests: what Cloudflare's types describe can be given to the client, and what the client
// returns can be used in the place of the binding. Compiling is the test.
import * as sp from "../../src/cloudflare/index.js";

declare const namespace: sp.AiSearchNamespace;
declare const instance: sp.AiSearchInstance;

export const binding: AiSearchNamespace = namespace;
export const one: AiSearchInstance = instance;
export const items: AiSearchItems = instance.items;
export const item: AiSearchItem = instance.items.get("id");
export const jobs: AiSearchJobs = instance.jobs;
export const job: AiSearchJob = instance.jobs.get("id");

// Methods are compared loosely, so each kind of argument and result is compared alone.
type Accepts<Ours, _Theirs extends Ours> = true;
type Returns<_Ours extends Theirs, Theirs> = true;

export const accepted: [
  Accepts<sp.AiSearchSearchRequest, AiSearchSearchRequest>,
  Accepts<sp.AiSearchMultiSearchRequest, AiSearchMultiSearchRequest>,
  Accepts<sp.AiSearchChatCompletionsRequest, AiSearchChatCompletionsRequest>,
  Accepts<sp.AiSearchMultiChatCompletionsRequest, AiSearchMultiChatCompletionsRequest>,
  Accepts<sp.AiSearchConfig, AiSearchConfig>,
  Accepts<Partial<sp.AiSearchConfig>, Partial<AiSearchConfig>>,
  Accepts<sp.AiSearchListInstancesParams, AiSearchListInstancesParams>,
  Accepts<sp.AiSearchListItemsParams, AiSearchListItemsParams>,
  Accepts<sp.AiSearchItemLogsParams, AiSearchItemLogsParams>,
  Accepts<sp.AiSearchItemChunksParams, AiSearchItemChunksParams>,
  Accepts<sp.AiSearchUploadItemOptions, AiSearchUploadItemOptions>,
  Accepts<sp.AiSearchContent, ReadableStream | Blob | string>,
  Accepts<sp.AiSearchCreateJobParams, AiSearchCreateJobParams>,
  Accepts<sp.AiSearchPageParams, AiSearchListJobsParams>,
  Accepts<sp.AiSearchPageParams, AiSearchJobLogsParams>,
] = [true, true, true, true, true, true, true, true, true, true, true, true, true, true, true];

export const returned: [
  Returns<sp.AiSearchSearchResponse, AiSearchSearchResponse>,
  Returns<sp.AiSearchMultiSearchResponse, AiSearchMultiSearchResponse>,
  Returns<sp.AiSearchChatCompletionsResponse, AiSearchChatCompletionsResponse>,
  Returns<sp.AiSearchMultiChatCompletionsResponse, AiSearchMultiChatCompletionsResponse>,
  Returns<sp.AiSearchInstanceInfo, AiSearchInstanceInfo>,
  Returns<sp.AiSearchListResponse, AiSearchListResponse>,
  Returns<sp.AiSearchStatsResponse, AiSearchStatsResponse>,
  Returns<sp.AiSearchItemInfo, AiSearchItemInfo>,
  Returns<sp.AiSearchListItemsResponse, AiSearchListItemsResponse>,
  Returns<sp.AiSearchItemLogsResponse, AiSearchItemLogsResponse>,
  Returns<sp.AiSearchItemChunksResponse, AiSearchItemChunksResponse>,
  Returns<sp.AiSearchItemContentResult, AiSearchItemContentResult>,
  Returns<sp.AiSearchJobInfo, AiSearchJobInfo>,
  Returns<sp.AiSearchListJobsResponse, AiSearchListJobsResponse>,
  Returns<sp.AiSearchJobLogsResponse, AiSearchJobLogsResponse>,
] = [true, true, true, true, true, true, true, true, true, true, true, true, true, true, true];
