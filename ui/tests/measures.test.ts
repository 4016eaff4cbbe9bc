import { describe, expect, it } from "vitest";

import { measure, unique } from "../src/model/measures";

describe("measures of a ranking", () => {
  it("has the value of trec_eval's nDCG for graded judgments", () => {
    // DCG = 3 + 0 + 2/log2(4) = 4; ideal = 3 + 2/log2(3) + 1/log2(4).
    const { ndcg } = measure(["a", "x", "b"], { a: 3, b: 2, c: 1 }, 3);
    expect(ndcg).toBeCloseTo(4 / (3 + 2 / Math.log2(3) + 0.5), 12);
  });

  it("is 1 for the best order", () => {
    expect(measure(["a", "b"], { a: 3, b: 1 }, 5).ndcg).toBe(1);
  });

  it("has no value without a relevant document, and says what is not judged", () => {
    expect(measure(["a", "b"], {}, 5)).toEqual({
      ndcg: null,
      reciprocalRank: null,
      precision: null,
      unjudged: 2,
    });
    expect(measure(["a"], { a: 0 }, 5)).toMatchObject({ ndcg: null, unjudged: 0 });
  });

  it("counts a document once, where its best passage stands", () => {
    expect(unique(["a", "b", "a"])).toEqual(["a", "b"]);
    expect(measure(["a", "a", "b"], { b: 1 }, 2).reciprocalRank).toBe(0.5);
  });

  it("finds nothing below the first k", () => {
    expect(measure(["x", "y", "a"], { a: 1 }, 2)).toMatchObject({
      ndcg: 0,
      reciprocalRank: 0,
      precision: 0,
    });
  });
});
