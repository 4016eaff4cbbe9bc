import { describe, expect, it } from "vitest";

import { agreement, rankBiasedOverlap } from "../src/model/agreement";

/** RBO_EXT of two rankings of one length by its definition: equation 30 of the paper. */
function definition(left: string[], right: string[], p: number): number {
  const k = left.length;
  const overlap = (depth: number) =>
    left.slice(0, depth).filter((id) => right.slice(0, depth).includes(id)).length;
  let sum = 0;
  for (let depth = 1; depth <= k; depth++) sum += (overlap(depth) / depth) * p ** depth;
  return (overlap(k) / k) * p ** k + ((1 - p) / p) * sum;
}

describe("rank-biased overlap", () => {
  it("is 1 for the same order and 0 for nothing in common", () => {
    expect(rankBiasedOverlap(["a", "b", "c"], ["a", "b", "c"])).toBeCloseTo(1, 12);
    expect(rankBiasedOverlap(["a", "b"], ["c", "d"])).toBe(0);
    expect(rankBiasedOverlap([], [])).toBe(1);
    expect(rankBiasedOverlap([], ["a"])).toBe(0);
  });

  it("follows its definition for rankings of one length", () => {
    const left = ["a", "b", "c", "d", "e", "f"];
    for (const right of [
      ["b", "a", "c", "d", "e", "f"],
      ["f", "e", "d", "c", "b", "a"],
      ["x", "a", "y", "b", "z", "c"],
    ]) {
      for (const p of [0.5, 0.9, 0.98]) {
        expect(rankBiasedOverlap(left, right, p)).toBeCloseTo(definition(left, right, p), 12);
      }
    }
  });

  it("is symmetric, and weighs the top more than the bottom", () => {
    const left = ["a", "b", "c", "d"];
    const short = ["b", "a"];
    expect(rankBiasedOverlap(left, short)).toBe(rankBiasedOverlap(short, left));
    const top = rankBiasedOverlap(left, ["b", "a", "c", "d"]);
    const bottom = rankBiasedOverlap(left, ["a", "b", "d", "c"]);
    expect(bottom).toBeGreaterThan(top);
  });

  it("takes a shorter ranking that agrees as far as it goes for the same", () => {
    expect(rankBiasedOverlap(["a", "b"], ["a", "b", "c", "d"])).toBeCloseTo(1, 12);
  });
});

describe("agreement", () => {
  it("counts what the first k share", () => {
    const found = agreement(["a", "b", "c", "d"], ["b", "x", "a", "d"], 2);
    expect(found).toMatchObject({ shared: 1, onlyLeft: 1, onlyRight: 1 });
  });
});
