/**
 * The positions of a slider over probabilities. Most passages are very unlikely and a few
 * very likely, so the scale is that of log-odds: from 0.1 % to 99.9 %, and 0 is off.
 */
export const STEPS = 100;
const LIMIT = Math.log(0.999 / 0.001);

export function probabilityAt(step: number): number {
  if (step <= 0) return 0;
  const odds = ((Math.min(step, STEPS) - 1) / (STEPS - 1)) * 2 * LIMIT - LIMIT;
  return Number((1 / (1 + Math.exp(-odds))).toFixed(4));
}

export function stepOf(probability: number): number {
  if (probability <= 0) return 0;
  const bounded = Math.min(0.999, Math.max(0.001, probability));
  const odds = Math.log(bounded / (1 - bounded));
  return Math.round(((odds + LIMIT) / (2 * LIMIT)) * (STEPS - 1)) + 1;
}
