/** Numbers as the page writes them. */

export function milliseconds(value: number): string {
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 100 || value === 0 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`;
}

/** Write a probability as a percentage that is never rounded to none or certainty. */
export function percent(probability: number): string {
  const value = probability * 100;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  if (value < 1) return `${value.toFixed(1)} %`;
  if (value > 99 && value < 100) return "> 99 %";
  return `${value.toFixed(0)} %`;
}

export function decimal(value: number, digits = 2): string {
  return value.toFixed(digits).replace("-", "−");
}

export function signed(value: number, digits = 2): string {
  return (value > 0 ? "+" : "") + decimal(value, digits);
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${value.toLocaleString("en")} ${value === 1 ? one : many}`;
}

/** Write a number of bytes as people do: in kB and MB. */
export function bytes(value: number): string {
  if (value < 1000) return count(value, "byte");
  const [scale, unit] = value < 1_000_000 ? [1000, "kB"] : [1_000_000, "MB"];
  return `${(value / scale).toFixed(1)} ${unit}`;
}

/** The kinds of scores in words: what a number of this kind means. */
export const SCORE_KINDS: Record<string, { name: string; meaning: string }> = {
  rank: {
    name: "blended score",
    meaning: "only the order within these results means something",
  },
  logit: { name: "logit", meaning: "log-odds of relevance; 0 is as likely as not" },
  probability: { name: "probability", meaning: "chance of relevance" },
  similarity: { name: "similarity", meaning: "higher is closer; no probability" },
};

/** The parts of a blended score in words. */
export const PARTS: Record<string, string> = {
  rerank: "second pass",
  vector: "vectors",
  bm25: "keywords",
};
