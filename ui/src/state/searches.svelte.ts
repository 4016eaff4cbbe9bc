import type { SearchBody } from "secondpass";

import { client } from "../api/client";
import type { Options, Ranking } from "../api/types";
import { Latest } from "./latest";

let turn: Promise<unknown> = Promise.resolve();

// Searches at the same time would slow each other down, and the times that are shown would be
// those of none of them.
function inTurn<T>(task: () => Promise<T>): Promise<T> {
  const next = turn.then(task);
  turn = next.catch(() => undefined);
  return next;
}

/** The last search of a configuration. */
export class Run {
  ranking = $state.raw<Ranking | null>(null);
  error = $state.raw<unknown>(null);
  busy = $state(false);
  private readonly latest = new Latest();
  private asked = "";
  private index = "";
  // Not the state above: what reads that while it searches would search again at each error.
  private failed = false;

  /** Search if anything differs from the last search. */
  update(index: string, query: string, options: Options): void {
    const body = requestOptions(options);
    const key = JSON.stringify([index, query, body]);
    if (key === this.asked && !this.failed) return;
    // Results of another index would be judged as if they were of this one.
    if (index !== this.index) [this.index, this.ranking] = [index, null];
    [this.asked, this.failed, this.busy] = [key, false, true];
    this.latest.request(async () => {
      try {
        const ranking = await inTurn(() =>
          client.search(index, { query, ...body } as SearchBody),
        );
        if (key === this.asked) [this.ranking, this.error] = [ranking, null];
      } catch (error) {
        if (key === this.asked) [this.ranking, this.error, this.failed] = [null, error, true];
      }
      if (key === this.asked) this.busy = false;
    });
  }

  clear(): void {
    [this.asked, this.failed] = ["", false];
    [this.ranking, this.error, this.busy] = [null, null, false];
  }
}

/**
 * The options of a request: all candidates are returned, so that the order of the first pass
 * and of the second are parts of one response. What is shown of them is decided here.
 */
export function requestOptions(options: Options): Options {
  const spans = options.rerank === false ? {} : { spans: true };
  return { ...spans, ...options, top_k: returned(options), return_documents: true };
}

function returned(options: Options): number {
  const candidates = typeof options.candidates === "number" ? options.candidates : 50;
  const several = Array.isArray(options.query_variants)
    ? options.query_variants.length + 1
    : 1;
  // Pins, neighbors and feedback add to the candidates.
  return candidates * several + 100;
}

export const runs = [new Run(), new Run(), new Run(), new Run()];
