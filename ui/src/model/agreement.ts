/** How alike two rankings are: shared and unique ids, and rank-biased overlap. */

export interface Agreement {
  shared: number;
  onlyLeft: number;
  onlyRight: number;
  /** Extrapolated rank-biased overlap, 0 to 1. */
  rbo: number;
}

/** The weight of a rank is `PERSISTENCE` times that of the rank before. */
export const PERSISTENCE = 0.9;

export function agreement(left: string[], right: string[], k: number): Agreement {
  const [a, b] = [left.slice(0, k), right.slice(0, k)];
  const other = new Set(b);
  const shared = a.filter((id) => other.has(id)).length;
  return {
    shared,
    onlyLeft: a.length - shared,
    onlyRight: b.length - shared,
    rbo: rankBiasedOverlap(left, right),
  };
}

/**
 * Extrapolated rank-biased overlap of two rankings without ties, 0 to 1: RBO_EXT of Webber,
 * Moffat and Zobel, "A similarity measure for indefinite rankings" (ACM TOIS 2010),
 * equation 32, for rankings of different lengths.
 */
export function rankBiasedOverlap(left: string[], right: string[], p = PERSISTENCE): number {
  const [short, long] = left.length <= right.length ? [left, right] : [right, left];
  const s = short.length;
  const l = long.length;
  if (s === 0) return l === 0 ? 1 : 0;
  const seenShort = new Set<string>();
  const seenLong = new Set<string>();
  let overlap = 0;
  let overlapShort = 0;
  let sum = 0;
  for (let depth = 1; depth <= l; depth++) {
    const fromLong = long[depth - 1] as string;
    seenLong.add(fromLong);
    if (depth <= s) {
      const fromShort = short[depth - 1] as string;
      seenShort.add(fromShort);
      if (fromShort === fromLong) overlap += 1;
      else overlap += Number(seenLong.has(fromShort)) + Number(seenShort.has(fromLong));
      if (depth === s) overlapShort = overlap;
    } else {
      overlap += Number(seenShort.has(fromLong));
      sum += ((overlapShort * (depth - s)) / (s * depth)) * p ** depth;
    }
    sum += (overlap / depth) * p ** depth;
  }
  const rest = ((overlap - overlapShort) / l + overlapShort / s) * p ** l;
  return ((1 - p) / p) * sum + rest;
}
