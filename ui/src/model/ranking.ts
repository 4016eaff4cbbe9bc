import type { Ranking, Result } from "../api/types";

/** A passage at its place in a column of the comparison. */
export interface Place {
  /** Identity across columns: the passage's id, or its position in pasted texts. */
  key: string;
  /** Rank from 1; null where the passage has none in this pass. */
  rank: number | null;
  result: Result;
}

export interface Column {
  title: string;
  /** How this order was made, in a few words. */
  subtitle: string;
  /** Whether this is the order of the first pass. */
  first: boolean;
  places: Place[];
}

/** What happened to the first k of one column on the way to another. */
export interface Change {
  entered: Place[];
  left: Place[];
  kept: number;
}

/** A line of the slope chart between two neighboring columns, in rows from 0. */
export interface Slope {
  key: string;
  from: number;
  to: number;
  /** The rank on the left and on the right; null: not in that column at all. */
  fromRank: number | null;
  toRank: number | null;
}

/** How many rows of a column are drawn before all are asked for, if the top k is not longer. */
export const FEW_ROWS = 10;

export function keyOf(result: Result): string {
  return result.id ?? `text ${result.index + 1}`;
}

/** The order of the first pass, of the same response. */
export function firstPass(ranking: Ranking): Place[] {
  const found = ranking.results.filter((result) => result.first_stage.rank >= 1);
  return found
    .sort((a, b) => a.first_stage.rank - b.first_stage.rank)
    .map((result) => ({ key: keyOf(result), rank: result.first_stage.rank, result }));
}

/** The order of the second pass. */
export function secondPass(ranking: Ranking): Place[] {
  return ranking.results.map((result) => ({
    key: keyOf(result),
    rank: result.rank,
    result,
  }));
}

/** The ranking with the spans that its results have in another response of the same search. */
export function withSpansOf(ranking: Ranking, other: Ranking): Ranking {
  const spans = new Map(other.results.map((result) => [keyOf(result), result.spans]));
  const results = ranking.results.map((result) => ({
    ...result,
    spans: spans.get(keyOf(result)) ?? result.spans,
  }));
  return { ...ranking, results };
}

/** Which passages entered and which left the first k. */
export function changeOf(before: Place[], after: Place[], k: number): Change {
  const old = new Set(before.slice(0, k).map((place) => place.key));
  const now = new Set(after.slice(0, k).map((place) => place.key));
  return {
    entered: after.slice(0, k).filter((place) => !old.has(place.key)),
    left: before.slice(0, k).filter((place) => !now.has(place.key)),
    kept: [...now].filter((key) => old.has(key)).length,
  };
}

/** Places that a passage rose by, from the left to the right; null where one is unknown. */
export function riseOf(key: string, before: Place[], after: Place[]): number | null {
  const old = before.find((place) => place.key === key)?.rank ?? null;
  const now = after.find((place) => place.key === key)?.rank ?? null;
  return old === null || now === null ? null : old - now;
}

/**
 * Lines between two columns of which `rows` rows are drawn each. A passage that is further
 * down on one side has its end at row `rows` there, below the last one.
 */
export function slopes(left: Place[], right: Place[], rows: number): Slope[] {
  const rowOf = (places: Place[]) => new Map(places.map((place, row) => [place.key, row]));
  const leftRows = rowOf(left);
  const rightRows = rowOf(right);
  const keys = new Set([...left.slice(0, rows), ...right.slice(0, rows)].map((p) => p.key));
  return [...keys].map((key) => {
    const from = leftRows.get(key);
    const to = rightRows.get(key);
    return {
      key,
      from: Math.min(from ?? rows, rows),
      to: Math.min(to ?? rows, rows),
      fromRank: from === undefined ? null : (left[from]?.rank ?? null),
      toRank: to === undefined ? null : (right[to]?.rank ?? null),
    };
  });
}

/** Results that are likely enough to be answers: those with `minProbability` or more. */
export function passes(result: Result, minProbability: number): boolean {
  return minProbability <= 0 || (result.probability ?? 0) >= minProbability;
}
