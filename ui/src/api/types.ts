/** What the page reads of the server's responses; docs/reference/http.md describes them. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** Options of a search by name; those that are absent have their defaults. */
export type Options = Record<string, Json>;

export interface Document {
  text: string;
  id: string | null;
  title: string | null;
  metadata: Record<string, Json>;
}

export interface Span {
  start: number;
  end: number;
  score: number;
  probability: number;
}

export interface FirstStage {
  rank: number;
  score: number | null;
  bm25: number | null;
  vector: number | null;
}

export interface Result {
  index: number;
  rank: number;
  id: string | null;
  document_id: string | null;
  chunk: number;
  score: number;
  score_kind: string;
  probability: number | null;
  scored: boolean;
  unread: number;
  windows?: number;
  first_stage: FirstStage;
  parts: Record<string, number>;
  spans: Span[];
  best_window: number[] | null;
  document: Document | null;
}

export interface Usage {
  documents: number;
  scored: number;
  pairs: number;
  tokens: number;
  truncated: number;
  unread: number;
  requests: number;
  searches: number;
  cost: number | null;
}

export interface Ranking {
  id: string;
  query: string;
  model: string | null;
  status: string;
  reason: string | null;
  query_unread: number;
  warnings: string[];
  results: Result[];
  timings: Record<string, number>;
  usage?: Usage;
}

export interface Schema {
  type?: string | string[];
  enum?: Json[];
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  items?: Schema;
  properties?: Record<string, Schema>;
  anyOf?: Schema[];
}

/** An option of a search or a rerank request, as the server declares it. */
export interface Option {
  name: string;
  help: string;
  default: Json;
  second_pass: boolean;
  schema: Schema;
  group: string;
}

export interface Model {
  name: string;
  default: boolean;
  runs_here: boolean;
  precision: string | null;
  max_length: number | null;
  follows_instructions: boolean;
  gives_spans: boolean;
}

export interface Capabilities {
  version: string;
  key_required: boolean;
  scopes: string[];
  models: Model[];
  llm: string | null;
  default_index: string | null;
  can_create_indexes: boolean;
  can_measure: boolean;
  measure_problem: string | null;
  languages: string[];
  file_types: string[];
  measures: string[];
  limits: Record<string, number>;
  search_options: Option[];
  rerank_options: Option[];
}

export interface IndexAbout {
  name: string;
  documents: number;
  passages: number;
  language: string;
  modes: string[];
  fields: Record<string, string>;
  writable: boolean;
}

export interface IndexVersion {
  number: number;
  created: string;
}

export interface FileStored {
  added: number;
  updated: number;
  unchanged: number;
  empty: number;
  passages: number;
  documents: number;
  unread_characters: number;
  skipped_rows: number;
  skipped: string[];
}

export interface Explanation {
  query: string;
  document: Document;
  model: string;
  found: boolean | null;
  score: number;
  score_kind: string;
  probability: number | null;
  final_score: number;
  places: {
    candidates: number;
    bm25: number | null;
    vector: number | null;
    first: number | null;
    reranker: number;
    final: number;
  } | null;
  bm25: number | null;
  vector: number | null;
  terms: { word: string; score: number; [field: string]: Json }[];
  parts: Record<string, number>;
  windows: { start: number; end: number; score: number }[];
  spans: {
    where: string;
    level: string;
    start: number;
    end: number;
    text: string;
    contribution: number;
  }[];
  faithfulness: { drop: number; random: number; removed: number; words: number } | null;
  counterfactuals: {
    change: string;
    rank: number;
    score: number;
    bm25: number | null;
    vector: number | null;
  }[];
  depths?: { candidates: number; rank: number | null }[];
  notes: string[];
  matches: { word: string; where: string; start: number; end: number; text: string }[];
  answers: Span[];
}

export interface Cited {
  number: number;
  text: string;
  title: string | null;
  ids: string[];
  probability: number | null;
  spans: Span[];
}

export interface Answer {
  id: string;
  query: string;
  text: string;
  status: string;
  reason: string | null;
  model: string | null;
  passages: Cited[];
  timings: Record<string, number>;
}

export type Grades = Record<string, number>;

export interface QuerySetAbout {
  name: string;
  queries: number;
  judgments: number;
  writable: boolean;
}

export interface QuerySet {
  name: string;
  queries: { id: string; text: string }[];
  grades: Record<string, Grades>;
  writable: boolean;
}

export interface QueryChange {
  done: number;
  id: string;
  text: string;
  before: number;
  after: number;
  change: number;
  before_ms: number;
  after_ms: number;
}

export interface Comparison {
  measure: string;
  queries: number;
  before: number;
  after: number;
  effect: {
    mean: number;
    low: number;
    high: number;
    p: number;
    won: number;
    tied: number;
    lost: number;
    [field: string]: number | null;
  };
  verdict: string;
  sentence: string;
  before_ms: number;
  after_ms: number;
}

export type ComparisonEvent =
  | { event: "start"; data: { queries: number; measure: string; notes: string[] } }
  | { event: "query"; data: QueryChange }
  | { event: "result"; data: Comparison }
  | { event: "error"; data: { message: string } };
