import { describe, expect, it } from "vitest";

import { DEFAULT_VIEW, readView, writeView, type View } from "../src/model/view";

const full: View = {
  tab: "queries",
  query: "a & b = c? #ünï 100 % [x]",
  index: "sample",
  topK: 10,
  minProbability: 0.5,
  targetMs: 120,
  selected: "a#2",
  configurations: [
    { mode: "bm25", candidates: 100, weights: [0.3, 0.7], rerank: false },
    {
      blend: { rerank: 2, vector: 1 },
      filter: "year >= 2000 AND tag = 'a&b'",
      hide: ["x", "y"],
    },
    {},
    { group_by: "true", template: "12", instructions: "null", feedback: 3 },
  ],
};

describe("the address of a view", () => {
  it("reproduces everything", () => {
    expect(readView(`#${writeView(full)}`)).toEqual(full);
  });

  it("is empty for what is as usual", () => {
    expect(writeView(DEFAULT_VIEW)).toBe("");
    expect(readView("")).toEqual(DEFAULT_VIEW);
  });

  it("keeps texts that look like other values", () => {
    for (const text of ["true", "1", "null", '"quoted"', "[1]", " ", "{", "ü"]) {
      const view = { ...DEFAULT_VIEW, configurations: [{ filter: text }] };
      expect(readView(writeView(view)).configurations).toEqual([{ filter: text }]);
    }
  });

  it("keeps a threshold of 0, which is not the default", () => {
    expect(readView(writeView({ ...DEFAULT_VIEW, minProbability: 0 })).minProbability).toBe(0);
  });

  it("reads what makes no sense as what is usual", () => {
    const view = readView(
      "#tab=nowhere&k=abc&configs=99&min=7&target=-1&e.mode=bm25&q=x&a.=1",
    );
    expect(view).toEqual({
      ...DEFAULT_VIEW,
      query: "x",
      minProbability: 1,
      targetMs: 1,
      configurations: [{}, {}, {}, {}],
    });
  });

  it("drops options of a configuration that is not there", () => {
    expect(readView("#b.mode=bm25").configurations).toEqual([{}]);
  });
});
