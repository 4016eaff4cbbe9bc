import { describe, expect, it } from "vitest";

import { pool } from "../src/model/blind";
import {
  changeOf,
  firstPass,
  passes,
  riseOf,
  secondPass,
  slopes,
  withSpansOf,
  type Column,
} from "../src/model/ranking";
import { ranking, result } from "./results";

const moved = ranking([
  result("c", 1, 3),
  result("a", 2, 1),
  result("p", 3, 0),
  result("b", 4, 2),
]);

describe("the two passes of one response", () => {
  it("are ordered by the ranks of each", () => {
    expect(firstPass(moved).map((place) => place.key)).toEqual(["a", "b", "c"]);
    expect(secondPass(moved).map((place) => place.key)).toEqual(["c", "a", "p", "b"]);
  });

  it("get the spans of another response of the same search", () => {
    const span = { start: 0, end: 4, score: 1, probability: 0.5 };
    const found = ranking([result("b", 1, 2, { spans: [span] }), result("c", 2, 3)]);
    const before = ranking([
      result("c", 1, 3, { spans: [span] }),
      result("a", 2, 1, { spans: [span] }),
      result("b", 3, 2),
    ]);
    const after = withSpansOf(before, found);
    expect(after.results.map((one) => [one.id, one.rank, one.spans.length])).toEqual([
      ["c", 1, 0],
      ["a", 2, 1],
      ["b", 3, 1],
    ]);
    expect(after.timings).toEqual(before.timings);
    expect(before.results[2]?.spans).toEqual([]);
  });

  it("say what entered and left the top", () => {
    const change = changeOf(firstPass(moved), secondPass(moved), 2);
    expect(change.entered.map((place) => place.key)).toEqual(["c"]);
    expect(change.left.map((place) => place.key)).toEqual(["b"]);
    expect(change.kept).toBe(1);
  });

  it("say how far a passage rose, if both have it", () => {
    expect(riseOf("c", firstPass(moved), secondPass(moved))).toBe(2);
    expect(riseOf("b", firstPass(moved), secondPass(moved))).toBe(-2);
    expect(riseOf("p", firstPass(moved), secondPass(moved))).toBeNull();
  });

  it("name texts without an id by their position", () => {
    const pasted = ranking([result("x", 1, 2, { id: null }), result("y", 2, 1, { id: null })]);
    expect(secondPass(pasted).map((place) => place.key)).toEqual(["text 2", "text 1"]);
  });
});

describe("slopes", () => {
  it("lead below the last row for what is further down or absent", () => {
    const lines = slopes(firstPass(moved), secondPass(moved), 2);
    expect(lines).toContainEqual({ key: "c", from: 2, to: 0, fromRank: 3, toRank: 1 });
    expect(lines).toContainEqual({ key: "a", from: 0, to: 1, fromRank: 1, toRank: 2 });
    expect(lines).toContainEqual({ key: "b", from: 1, to: 2, fromRank: 2, toRank: 4 });
    expect(lines).toHaveLength(3);
    const all = slopes(firstPass(moved), secondPass(moved), 4);
    expect(all).toContainEqual({ key: "p", from: 4, to: 2, fromRank: null, toRank: 3 });
  });
});

describe("the threshold", () => {
  it("lets through what is likely enough, and everything where it is off", () => {
    expect(passes(result("a", 1, 1, { probability: 0.5 }), 0.5)).toBe(true);
    expect(passes(result("a", 1, 1, { probability: 0.49 }), 0.5)).toBe(false);
    expect(passes(result("a", 1, 1, { probability: null }), 0.5)).toBe(false);
    expect(passes(result("a", 1, 1, { probability: null }), 0)).toBe(true);
  });
});

describe("the pool for blind judging", () => {
  const column = (places: Column["places"]): Column => ({
    title: "",
    subtitle: "",
    first: false,
    places,
  });
  const columns = [column(firstPass(moved)), column(secondPass(moved))];

  it("has the first k of every column once", () => {
    expect(pool(columns, 2, null).map((place) => place.key)).toEqual(["a", "b", "c"]);
  });

  it("has one order for one seed", () => {
    const many = [
      column(
        Array.from({ length: 30 }, (_, i) => ({
          key: `d${i}`,
          rank: i,
          result: result("x", 1, 1),
        })),
      ),
    ];
    const keys = (seed: string) => pool(many, 30, seed).map((place) => place.key);
    expect(keys("q")).toEqual(keys("q"));
    expect(keys("q")).not.toEqual(keys("r"));
    expect(new Set(keys("q")).size).toBe(30);
  });
});
