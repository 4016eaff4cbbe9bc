import type { Column, Place } from "./ranking";

/**
 * Pool the first k of all columns, each passage once. The order tells nothing of the ranks: by
 * id, or shuffled in a way that depends on the seed alone, so that it stays while judging.
 */
export function pool(columns: Column[], k: number, seed: string | null): Place[] {
  const places = new Map<string, Place>();
  for (const column of columns) {
    for (const place of column.places.slice(0, k)) places.set(place.key, place);
  }
  const by = (key: string) => (seed === null ? key : hash(seed + key));
  return [...places.values()].sort((a, b) => (by(a.key) < by(b.key) ? -1 : 1));
}

// FNV-1a, as fixed-width text: any spread that does not follow the ids will do.
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (const char of text) {
    value = Math.imul(value ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  }
  return value.toString(16).padStart(8, "0");
}
