import type { Ranking, Result } from "../src/api/types";

/** A result for tests; `first` is its rank in the first pass. */
export function result(id: string, rank: number, first: number, more: Partial<Result> = {}) {
  const made: Result = {
    index: first - 1,
    rank,
    id,
    document_id: id,
    chunk: 0,
    score: 10 - rank,
    score_kind: "logit",
    probability: 1 / (rank + 1),
    scored: true,
    unread: 0,
    windows: 1,
    first_stage: { rank: first, score: 1 / first, bm25: 12.5, vector: 0.5 },
    parts: {},
    spans: [],
    best_window: null,
    document: { text: `Text of ${id}.`, id, title: `Title ${id}`, metadata: {} },
    ...more,
  };
  return made;
}

export function ranking(results: Result[]): Ranking {
  return {
    id: "1",
    query: "a question",
    model: "bundled",
    status: "reranked",
    reason: null,
    query_unread: 0,
    warnings: [],
    results,
    usage: { documents: results.length, scored: results.length },
    timings: { rerank: 10, total: 12 },
  };
}
