import type { Options } from "../api/types";

/** Questions to the packaged sample: a gain, none, and one that it cannot answer. */
export const SAMPLE_INDEX = "sample";

export interface Example {
  query: string;
  shows: string;
  options: Options;
}

export const EXAMPLES: Example[] = [
  {
    query: "Who built the first steam engine?",
    shows: "the answer rises",
    options: { mode: "bm25" },
  },
  { query: "Was Tesla married?", shows: "it was right before", options: {} },
  { query: "Who was the V&A's first director?", shows: "the answer falls", options: {} },
  { query: "Who won the Super Bowl?", shows: "no good answer", options: {} },
];
