import { describe, expect, it } from "vitest";

import type { Model } from "../src/api/types";
import { answerPieces } from "../src/model/citations";
import { bytes, decimal, percent, signed } from "../src/model/format";
import {
  controls,
  describe as describeOptions,
  fieldOf,
  givesSpans,
  withOption,
} from "../src/model/options";
import { probabilityAt, stepOf, STEPS } from "../src/model/threshold";

describe("the slider of probabilities", () => {
  it("returns to the step it came from", () => {
    for (let step = 0; step <= STEPS; step++) expect(stepOf(probabilityAt(step))).toBe(step);
  });
  it("is off at 0 and covers nearly all above", () => {
    expect(probabilityAt(0)).toBe(0);
    expect(probabilityAt(1)).toBe(0.001);
    expect(probabilityAt(STEPS)).toBe(0.999);
    expect(stepOf(0.99999)).toBe(STEPS);
  });
});

describe("numbers", () => {
  it("never round a probability to none or certainty", () => {
    expect([0, 0.0001, 0.004, 0.5, 0.9999, 1].map(percent)).toEqual([
      "0.0 %",
      "< 0.1 %",
      "0.4 %",
      "50 %",
      "> 99 %",
      "100 %",
    ]);
  });
  it("of bytes are in kB and MB", () => {
    expect([0, 1, 999, 1000, 123_456, 1_500_000].map(bytes)).toEqual([
      "0 bytes",
      "1 byte",
      "999 bytes",
      "1.0 kB",
      "123.5 kB",
      "1.5 MB",
    ]);
  });
  it("have a real minus", () => {
    expect(decimal(-1.5, 1)).toBe("−1.5");
    expect(signed(0.25)).toBe("+0.25");
  });
});

describe("citations", () => {
  it("are numbers of passages that exist", () => {
    expect(answerPieces("A [1]. B [2, 3] [9] [x]", new Set([1, 2, 3]))).toEqual([
      { text: "A ", cites: null },
      { text: "1", cites: 1 },
      { text: ". B ", cites: null },
      { text: "2", cites: 2 },
      { text: "3", cites: 3 },
      { text: " [9] [x]", cites: null },
    ]);
  });
});

describe("options", () => {
  const option = (name: string, schema: object, value: null | number | boolean = null) => ({
    name,
    help: "",
    default: value,
    second_pass: false,
    schema,
    group: "",
  });
  it("get a field by their schema", () => {
    expect(fieldOf(option("a", { type: "boolean" })).kind).toBe("flag");
    expect(fieldOf(option("a", { type: "integer", minimum: 1 }))).toMatchObject({
      kind: "number",
      minimum: 1,
      whole: true,
    });
    expect(fieldOf(option("a", { type: "string", enum: ["x"] })).kind).toBe("choice");
    expect(fieldOf(option("a", { type: "array", items: { type: "string" } })).kind).toBe(
      "lines",
    );
    expect(fieldOf(option("a", { type: ["boolean", "object"] })).kind).toBe("json");
    expect(fieldOf(option("a", { anyOf: [{ type: "number" }, { type: "null" }] })).kind).toBe(
      "number",
    );
  });
  it("are left out where they are as usual", () => {
    const depth = option("candidates", { type: "integer" }, 50);
    expect(withOption({ mode: "bm25" }, depth, 100)).toEqual({
      mode: "bm25",
      candidates: 100,
    });
    expect(withOption({ candidates: 100 }, depth, 50)).toEqual({});
    expect(withOption({ candidates: 100 }, depth, null)).toEqual({});
    const flag = option("cascade", { type: "boolean" }, true);
    expect(withOption({}, flag, false)).toEqual({ cascade: false });
  });
  it("are common ones or more, without those of the page", () => {
    const lists = controls(["top_k", "boost", "mode"].map((name) => option(name, {})));
    expect(lists.common.map((one) => one.name)).toEqual(["mode"]);
    expect(lists.more.map((one) => one.name)).toEqual(["boost"]);
  });
  it("say whether the model finds sentences", () => {
    const model = { name: "a", runs_here: true, max_length: 256, precision: "int8" };
    const models = [
      { ...model, gives_spans: true },
      { ...model, name: "b", gives_spans: false },
    ] as unknown as Model[];
    expect(givesSpans({}, models)).toBe(true);
    expect(givesSpans({ rerank: "b" }, models)).toBe(false);
    expect(givesSpans({ rerank: false }, models)).toBe(false);
    expect(givesSpans({ rerank: "unknown" }, models.slice(1))).toBe(false);
    expect(givesSpans({}, [])).toBe(true);
  });
  it("can be read", () => {
    expect(describeOptions({ mode: "bm25", blend: false })).toEqual([
      "first pass: bm25",
      "blend with the first pass: off",
    ]);
  });
});
