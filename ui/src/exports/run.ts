import type { Ranking } from "../api/types";

/** One document of a run, as `secondpass eval --runs` reads it from a line of JSON. */
export interface RunRow {
  query_id: string;
  doc_id: string;
  score: number;
  /** What evaluation ignores and people want to know. */
  query: string;
  rank: number;
  passage_id: string | null;
  probability: number | null;
}

/**
 * The documents of a ranking, each once, at its best passage. Run files are ordered by score,
 * so that tied scores are separated by as little as single precision needs.
 */
export function runRows(ranking: Ranking, queryId: string): RunRow[] {
  const rows = new Map<string, RunRow>();
  let last = Infinity;
  for (const result of ranking.results) {
    const document = result.document_id ?? result.id;
    if (document === null || rows.has(document)) continue;
    const score = Math.fround(result.score);
    last = score < last ? score : below(last);
    rows.set(document, {
      query_id: queryId,
      doc_id: document,
      score: last,
      query: ranking.query,
      rank: rows.size + 1,
      passage_id: result.id,
      probability: result.probability,
    });
  }
  return [...rows.values()];
}

export function toJsonLines(rows: RunRow[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

/** Write a run as TREC's tools read it; null where an id has white space, which cannot be. */
export function toTrec(rows: RunRow[], name: string): string | null {
  if (rows.some((row) => /\s/u.test(row.query_id + row.doc_id))) return null;
  return rows
    .map((row) => `${row.query_id} Q0 ${row.doc_id} ${row.rank} ${row.score} ${name}\n`)
    .join("");
}

/** The next lower number in single precision. */
function below(value: number): number {
  if (value === 0) return -(2 ** -149);
  const bits = new DataView(new ArrayBuffer(4));
  bits.setFloat32(0, value);
  bits.setInt32(0, bits.getInt32(0) + (value > 0 ? -1 : 1));
  return bits.getFloat32(0);
}
