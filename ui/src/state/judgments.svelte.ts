import { client } from "../api/client";
import type { Grades } from "../api/types";
import { app } from "./app.svelte";

/** The set that judging in place writes to. */
export const JUDGED = "judged";
/** Sets with more queries are not read just to know the grades of one. */
const READABLE = 2000;

/** Grades of documents by the text of a query: those of the query sets of the index. */
class Judgments {
  private known = $state<Record<string, Grades>>({});
  private ids = $state<Record<string, string>>({});
  error = $state.raw<unknown>(null);
  available = $state(false);

  of(query: string): Grades {
    return this.known[query.trim()] ?? {};
  }

  /** The id of a query in the sets, that of "judged" where no other has it; null in none. */
  idOf(query: string): string | null {
    return this.ids[query.trim()] ?? null;
  }

  async load(index: string): Promise<void> {
    const known: Record<string, Grades> = {};
    const ids: Record<string, string> = {};
    try {
      const querySets = client.querySets(index);
      const sets = await querySets.list();
      // What was judged here comes last, and so overrides other sets.
      sets.sort((a, b) => Number(a.name === JUDGED) - Number(b.name === JUDGED));
      for (const about of sets) {
        if (about.queries === 0 || about.queries > READABLE) continue;
        const set = await querySets.get(about.name);
        for (const { id, text } of set.queries) {
          known[text] = { ...known[text], ...set.grades[id] };
          ids[text] ??= id;
        }
      }
      [this.available, this.error] = [true, null];
    } catch (error) {
      [this.available, this.error] = [false, error];
    }
    if (app.index?.name === index) [this.known, this.ids] = [known, ids];
  }

  /** Give a document a grade from 0 to 3, or take its grade away with null. */
  async grade(index: string, query: string, document: string, grade: number | null) {
    const text = query.trim();
    const before = { ...this.of(text) };
    const after = { ...before };
    if (grade === null) Reflect.deleteProperty(after, document);
    else after[document] = grade;
    this.known[text] = after;
    try {
      const grades = { [document]: grade } as Record<string, 0 | 1 | 2 | 3 | null>;
      const stored = await client.querySets(index).judge(JUDGED, { query: text, grades });
      this.ids[text] ??= stored.id;
      this.error = null;
    } catch (error) {
      this.known[text] = before;
      this.error = error;
    }
  }
}

export const judgments = new Judgments();
