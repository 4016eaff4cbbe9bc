/** A piece of a text, and whether it is marked. */
export interface Piece {
  text: string;
  marked: boolean;
  /** Position in the list of marks; -1 where not marked. */
  mark: number;
}

/**
 * Split a text at marks. Their ends count Unicode code points, as the server does, where
 * strings of JavaScript count UTF-16 units. Marks that overlap an earlier one are cut.
 */
export function pieces(text: string, marks: { start: number; end: number }[]): Piece[] {
  const points = Array.from(text);
  const ordered = marks
    .map((mark, position) => ({ ...mark, position }))
    .sort((a, b) => a.start - b.start);
  const found: Piece[] = [];
  let at = 0;
  const add = (from: number, to: number, mark: number) => {
    if (to > from) {
      found.push({ text: points.slice(from, to).join(""), marked: mark >= 0, mark });
    }
  };
  for (const { start, end, position } of ordered) {
    const from = Math.max(at, Math.min(start, points.length));
    const to = Math.max(from, Math.min(end, points.length));
    add(at, from, -1);
    add(from, to, position);
    at = to;
  }
  add(at, points.length, -1);
  return found;
}

/** The start of a text, cut at a word, for a row of a list. */
export function excerpt(text: string, start: number, length: number): string {
  const points = Array.from(text.slice(0, 50_000));
  const cut = points.slice(start, start + length).join("");
  const whole = cut.replace(/\s+/g, " ").trim();
  return (start > 0 ? "… " : "") + whole + (start + length < points.length ? " …" : "");
}
