import type { Grades } from "../api/types";

/** Measures of one ranking by its judgments; ids without one count as not relevant. */
export interface Measures {
  ndcg: number | null;
  reciprocalRank: number | null;
  precision: number | null;
  /** How many of the first k have no judgment. */
  unjudged: number;
}

/** Compute measures of the first k; null where no judged document is relevant. */
export function measure(ids: string[], grades: Grades, k: number): Measures {
  const top = unique(ids).slice(0, k);
  const unjudged = top.filter((id) => grades[id] === undefined).length;
  const best = Object.values(grades).sort((a, b) => b - a);
  const ideal = gain(best.slice(0, k));
  if (ideal === 0) return { ndcg: null, reciprocalRank: null, precision: null, unjudged };
  const got = top.map((id) => grades[id] ?? 0);
  const first = got.findIndex((grade) => grade > 0);
  return {
    ndcg: gain(got) / ideal,
    reciprocalRank: first < 0 ? 0 : 1 / (first + 1),
    precision: got.filter((grade) => grade > 0).length / k,
    unjudged,
  };
}

// Grades as gains and log2 discounts, as trec_eval's nDCG has them.
function gain(grades: number[]): number {
  return grades.reduce((sum, grade, place) => sum + grade / Math.log2(place + 2), 0);
}

/** Drop repeated ids: several passages of one document count where the best one stands. */
export function unique(ids: string[]): string[] {
  return [...new Set(ids)];
}
