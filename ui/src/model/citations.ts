/** A piece of an answer: text, or the number of a passage that it cites. */
export type AnswerPiece = { text: string; cites: null } | { text: string; cites: number };

/** Split an answer at its citations, such as [2] or [1, 3], where such a passage exists. */
export function answerPieces(text: string, numbers: Set<number>): AnswerPiece[] {
  const found: AnswerPiece[] = [];
  let at = 0;
  for (const match of text.matchAll(/\[(\d+(?:\s*,\s*\d+)*)\]/g)) {
    const cited = (match[1] ?? "").split(",").map(Number);
    if (!cited.every((number) => numbers.has(number))) continue;
    if (match.index > at) found.push({ text: text.slice(at, match.index), cites: null });
    for (const number of cited) found.push({ text: String(number), cites: number });
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push({ text: text.slice(at), cites: null });
  return found;
}
