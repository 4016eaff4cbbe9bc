// The values of Cloudflare's AI Search binding, with the names of @cloudflare/workers-types and
// assignable to them. Fields that a secondpass server refuses or ignores are listed in
// docs/how-to/serve-cloudflare.md.

/** What a metadata filter compares with. */
export type AiSearchFilterValue = string | number | boolean | null;

/** Fields with a value that they must have, or with operators. Several are joined by and. */
export type AiSearchFilter = Record<
  string,
  | AiSearchFilterValue
  | Partial<Record<"$eq" | "$ne" | "$lt" | "$lte" | "$gt" | "$gte", AiSearchFilterValue>>
  | Partial<Record<"$in" | "$nin", AiSearchFilterValue[]>>
>;

export type AiSearchRole = "system" | "developer" | "user" | "assistant" | "tool";
export type AiSearchCacheThreshold =
  "super_strict_match" | "close_enough" | "flexible_friend" | "anything_goes";
export type AiSearchItemStatus =
  "queued" | "running" | "completed" | "error" | "skipped" | "outdated";

export interface AiSearchMessage {
  role: AiSearchRole;
  content: string | null;
}

export interface AiSearchBoost {
  field: string;
  direction?: "asc" | "desc" | "exists" | "not_exists";
}

export interface AiSearchOptions {
  retrieval?: {
    retrieval_type?: "vector" | "keyword" | "hybrid";
    fusion_method?: "max" | "rrf";
    keyword_match_mode?: "and" | "or";
    /** From 0 to 1, compared with the cosine. */
    match_threshold?: number;
    /** From 1 to 50; 10 if absent. */
    max_num_results?: number;
    filters?: AiSearchFilter;
    /** Neighboring chunks that are added, 0 to 3. */
    context_expansion?: number;
    metadata_only?: boolean;
    return_on_failure?: boolean;
    boost_by?: AiSearchBoost[];
    [key: string]: unknown;
  };
  query_rewrite?: {
    enabled?: boolean;
    model?: string;
    rewrite_prompt?: string;
    [key: string]: unknown;
  };
  reranking?: {
    enabled?: boolean;
    /** A model of the server; names of Cloudflare's models mean the server's first. */
    model?: string;
    match_threshold?: number;
    [key: string]: unknown;
  };
  cache?: { enabled?: boolean; cache_threshold?: AiSearchCacheThreshold };
  [key: string]: unknown;
}

/** Options of a search in several instances, 1 to 10. */
export type AiSearchMultiSearchOptions = AiSearchOptions & { instance_ids: string[] };

type Question =
  { query: string; messages?: never } | { query?: never; messages: AiSearchMessage[] };

export type AiSearchSearchRequest = Question & { ai_search_options?: AiSearchOptions };
export type AiSearchMultiSearchRequest = Question & {
  ai_search_options: AiSearchMultiSearchOptions;
};

export interface AiSearchChatCompletionsRequest {
  messages: AiSearchMessage[];
  model?: string;
  stream?: boolean;
  ai_search_options?: AiSearchOptions;
  [key: string]: unknown;
}
/** `messages` is needed here too; Cloudflare's type, which this must accept, does not say so. */
export type AiSearchMultiChatCompletionsRequest = Omit<
  AiSearchChatCompletionsRequest,
  "ai_search_options"
> & { ai_search_options: AiSearchMultiSearchOptions };

export interface AiSearchItemReference {
  key: string;
  timestamp?: number;
  metadata?: Record<string, unknown>;
}

export interface AiSearchChunk {
  id: string;
  type: string;
  /** From 0 to 1. */
  score: number;
  text: string;
  item: AiSearchItemReference;
  scoring_details?: {
    keyword_score?: number;
    vector_score?: number;
    keyword_rank?: number;
    vector_rank?: number;
    reranking_score?: number;
    fusion_method?: "rrf" | "max";
    [key: string]: unknown;
  };
}
export type AiSearchMultiSearchChunk = AiSearchChunk & { instance_id: string };
export interface AiSearchMultiSearchError {
  instance_id: string;
  message: string;
}

export interface AiSearchSearchResponse {
  search_query: string;
  chunks: AiSearchChunk[];
}
export interface AiSearchMultiSearchResponse {
  search_query: string;
  chunks: AiSearchMultiSearchChunk[];
  errors?: AiSearchMultiSearchError[];
}

export interface AiSearchChatCompletionsResponse {
  id?: string;
  object?: string;
  model?: string;
  choices: {
    index?: number;
    message: { role: AiSearchRole; content: string | null; [key: string]: unknown };
    [key: string]: unknown;
  }[];
  chunks: AiSearchChunk[];
  [key: string]: unknown;
}
export interface AiSearchMultiChatCompletionsResponse extends AiSearchChatCompletionsResponse {
  chunks: AiSearchMultiSearchChunk[];
  errors?: AiSearchMultiSearchError[];
}

export interface AiSearchStatsResponse {
  queued?: number;
  running?: number;
  completed?: number;
  error?: number;
  skipped?: number;
  outdated?: number;
  last_activity?: string;
}

export interface AiSearchSettings {
  rewrite_query?: boolean;
  reranking?: boolean;
  embedding_model?: string;
  ai_search_model?: string;
  rewrite_model?: string;
  reranking_model?: string;
  index_method?: { vector?: boolean; keyword?: boolean };
  fusion_method?: "max" | "rrf";
  indexing_options?: { keyword_tokenizer?: "porter" | "trigram" } | null;
  retrieval_options?: {
    keyword_match_mode?: "and" | "or";
    boost_by?: AiSearchBoost[];
  } | null;
  chunk?: boolean;
  chunk_size?: number;
  chunk_overlap?: number;
  score_threshold?: number;
  max_num_results?: number;
  cache?: boolean;
  cache_threshold?: AiSearchCacheThreshold;
  custom_metadata?: {
    field_name: string;
    data_type: "text" | "number" | "boolean" | "datetime";
  }[];
  metadata?: Record<string, unknown>;
  [key: string]: unknown;
}
export interface AiSearchConfig extends AiSearchSettings {
  /** 1 to 64 characters: lower-case letters, digits, "_", and "-" between them. */
  id: string;
}
export interface AiSearchInstanceInfo extends AiSearchSettings {
  id: string;
  status?: string;
  namespace?: string;
  paused?: boolean;
  created_at?: string;
  modified_at?: string;
}

/** Where a page of a list is. */
export interface AiSearchPageInfo {
  count: number;
  page: number;
  per_page: number;
  total_count: number;
}
export interface AiSearchPageParams {
  page?: number;
  per_page?: number;
}
export interface AiSearchListInstancesParams extends AiSearchPageParams {
  search?: string;
  order_by?: "created_at";
  order_by_direction?: "asc" | "desc";
}
export interface AiSearchListResponse {
  result: AiSearchInstanceInfo[];
  result_info?: AiSearchPageInfo;
}

export interface AiSearchItemInfo {
  id: string;
  key: string;
  status: AiSearchItemStatus;
  next_action?: "INDEX" | "DELETE" | null;
  error?: string;
  checksum?: string;
  namespace?: string;
  chunks_count?: number | null;
  file_size?: number | null;
  source_id?: string | null;
  last_seen_at?: string;
  created_at?: string;
  metadata?: Record<string, unknown>;
  [key: string]: unknown;
}
export interface AiSearchItemContentResult {
  body: ReadableStream;
  contentType: string;
  filename: string;
  size: number;
}
export interface AiSearchUploadItemOptions {
  metadata?: Record<string, unknown>;
}
export interface AiSearchPollOptions extends AiSearchUploadItemOptions {
  /** 1000 if absent. */
  pollIntervalMs?: number;
  /** 30,000 if absent; then the item is returned as it is. */
  timeoutMs?: number;
}
export interface AiSearchListItemsParams extends AiSearchPageParams {
  search?: string;
  sort_by?: "status" | "modified_at";
  status?: AiSearchItemStatus;
  source?: string;
  /** A filter as JSON text. */
  metadata_filter?: string;
  item_id?: string;
  key?: string;
}
export interface AiSearchListItemsResponse {
  result: AiSearchItemInfo[];
  result_info?: AiSearchPageInfo;
}

export interface AiSearchItemLogsParams {
  limit?: number;
  cursor?: string;
}
export interface AiSearchItemLog {
  timestamp: string;
  action: string;
  message: string;
  fileKey?: string;
  chunkCount?: number;
  processingTimeMs?: number;
  errorType?: string;
}
export interface AiSearchItemLogsResponse {
  result: AiSearchItemLog[];
  result_info: { count: number; per_page: number; cursor: string | null; truncated: boolean };
}

export interface AiSearchItemChunksParams {
  limit?: number;
  offset?: number;
}
export interface AiSearchItemChunk {
  id: string;
  text: string;
  /** NaN where the server does not give it: it knows places in the text, not in the file. */
  start_byte: number;
  /** As `start_byte`. */
  end_byte: number;
  item?: AiSearchItemReference;
}
export interface AiSearchItemChunksResponse {
  result: AiSearchItemChunk[];
  result_info: { count: number; total: number; limit: number; offset: number };
}

export interface AiSearchJobInfo {
  id: string;
  source: "user" | "schedule";
  description?: string;
  last_seen_at?: string;
  started_at?: string;
  ended_at?: string;
  end_reason?: string;
}
export interface AiSearchCreateJobParams {
  description?: string;
}
export interface AiSearchJobLog {
  id: number;
  message: string;
  message_type: number;
  created_at: number;
}
export interface AiSearchListJobsResponse {
  result: AiSearchJobInfo[];
  result_info?: AiSearchPageInfo;
}
export interface AiSearchJobLogsResponse {
  result: AiSearchJobLog[];
  result_info?: AiSearchPageInfo;
}
