import type { SearchBody } from "secondpass";

import { client } from "../api/client";
import type { Json, Options, Ranking } from "../api/types";
import { withSpansOf } from "../model/ranking";

// A server goes on for a while with a search that is given up. Where searches take longer than
// this, they would pile up as one types, and each would be slower for it.
const GIVE_UP_WITHIN_MS = 300;

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
  private asked = "";
  private index = "";
  private body: Options = {};
  private abort = new AbortController();
  /** Whether the present request has gone to the server. */
  private begun = false;
  private tookMs = 0;
  // Not the state above: what reads that while it searches would search again at each error.
  private failed = false;
  /** For how many of the first results sentences were looked for. */
  private sought = 0;
  private seeking: Promise<void> = Promise.resolve();

  /**
   * Search if anything differs from the last search, of which the results are dropped. It is
   * given up where searches are fast, and ends before the new one begins where they are slow.
   * `rows` is for how many of the first results the sentences that answer are found; 0 for a
   * model without them.
   */
  update(index: string, query: string, options: Options, rows: number): void {
    const key = JSON.stringify([index, query, options]);
    if (key === this.asked && !this.failed) return;
    if (!this.begun || this.tookMs < GIVE_UP_WITHIN_MS) this.abort.abort();
    this.abort = new AbortController();
    this.begun = false;
    // Results of another index would be judged as if they were of this one.
    if (index !== this.index) [this.index, this.ranking] = [index, null];
    [this.asked, this.failed, this.busy] = [key, false, true];
    this.body = { query, ...options, top_k: returned(options), return_documents: true };
    const { spans } = options;
    const all = spans !== undefined || rows === 0;
    void this.search(spans ?? soughtIn(rows), all ? Infinity : rows, this.abort.signal);
  }

  private async search(spans: Json, rows: number, signal: AbortSignal) {
    let outcome: [Ranking | null, unknown];
    try {
      outcome = [await this.ask({ ...this.body, spans }, signal), null];
    } catch (error) {
      outcome = [null, error];
    }
    if (this.isOver(signal)) return;
    [this.ranking, this.error] = outcome;
    [this.failed, this.busy, this.sought] = [outcome[0] === null, false, rows];
  }

  /** Find the sentences of the first `rows` results, if the search has not found them. */
  findSpans(rows: number): Promise<void> {
    const count = this.ranking?.results.length ?? 0;
    if (Math.min(rows, count) > this.sought) {
      this.sought = Infinity;
      this.seeking = this.findAllSpans(this.abort.signal);
    }
    return this.seeking;
  }

  private async findAllSpans(signal: AbortSignal): Promise<void> {
    try {
      const body = { ...this.body, spans: true, return_documents: false };
      const found = await this.ask(body, signal);
      if (!this.isOver(signal) && this.ranking)
        this.ranking = withSpansOf(this.ranking, found);
    } catch (error) {
      if (!this.isOver(signal)) this.error = error;
    }
  }

  private isOver(signal: AbortSignal): boolean {
    return signal.aborted || signal !== this.abort.signal;
  }

  private ask(body: Options, signal: AbortSignal): Promise<Ranking> {
    const { index } = this;
    return inTurn(async () => {
      signal.throwIfAborted();
      this.begun = true;
      const started = performance.now();
      const ranking = await client.search(index, body as SearchBody, { signal });
      this.tookMs = performance.now() - started;
      return ranking;
    });
  }

  clear(): void {
    this.abort.abort();
    [this.abort, this.begun] = [new AbortController(), false];
    [this.asked, this.failed] = ["", false];
    [this.ranking, this.error, this.busy] = [null, null, false];
  }
}

function soughtIn(rows: number): Json {
  return rows === 0 ? false : Number.isFinite(rows) ? { max_results: rows } : true;
}

// All candidates are returned, so that the order of the first pass and of the second are parts
// of one response. What is shown of them is decided by the page.
function returned(options: Options): number {
  const candidates = typeof options.candidates === "number" ? options.candidates : 50;
  const several = Array.isArray(options.query_variants)
    ? options.query_variants.length + 1
    : 1;
  // Pins, neighbors and feedback add to the candidates.
  return candidates * several + 100;
}

export const runs = [new Run(), new Run(), new Run(), new Run()];
