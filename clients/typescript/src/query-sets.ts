// Query sets: queries with judgments, and comparisons of two configurations over them.

import { indexPath } from "./indexes.js";
import { segment, type CallOptions, type Transport } from "./transport.js";
import type {
  ComparisonBody,
  ComparisonEvent,
  FullQuerySet,
  JudgedQuery,
  JudgmentsBody,
  QuerySetAbout,
  QuerySetBody,
} from "./types.js";

/** The query sets of one index. "judged" is always there, for judgments made by hand. */
export class QuerySets {
  readonly #transport: Transport;
  readonly #path: string;

  constructor(transport: Transport, index: string) {
    this.#transport = transport;
    this.#path = `${indexPath(index)}/query-sets`;
  }

  /** List the query sets. */
  async list(call?: CallOptions): Promise<QuerySetAbout[]> {
    const request = { method: "GET", path: this.#path, repeatable: true } as const;
    const found = await this.#transport.json<{ query_sets: QuerySetAbout[] }>(request, call);
    return found.query_sets;
  }

  /** Return the queries and grades of a set. */
  async get(name: string, call?: CallOptions): Promise<FullQuerySet> {
    return this.#transport.json(
      { method: "GET", path: this.#of(name), repeatable: true },
      call,
    );
  }

  /** Create a set, or replace the one of that name. */
  async put(name: string, body: QuerySetBody, call?: CallOptions): Promise<QuerySetAbout> {
    const request = {
      method: "PUT",
      path: this.#of(name),
      json: body,
      repeatable: true,
    } as const;
    return this.#transport.json(request, call);
  }

  /** Delete a set with its judgments. */
  async delete(name: string, call?: CallOptions): Promise<QuerySetAbout> {
    return this.#transport.json(
      { method: "DELETE", path: this.#of(name), repeatable: false },
      call,
    );
  }

  /** Save grades of documents for a query, 0 to 3; null removes one. */
  async judge(name: string, body: JudgmentsBody, call?: CallOptions): Promise<JudgedQuery> {
    const path = `${this.#of(name)}/judgments`;
    return this.#transport.json({ method: "POST", path, json: body, repeatable: true }, call);
  }

  /** Return the judgments as a file, of TREC or as JSON lines. */
  async qrels(
    name: string,
    format: "trec" | "jsonl" = "trec",
    call?: CallOptions,
  ): Promise<string> {
    const path = `${this.#of(name)}/qrels?format=${format}`;
    return this.#transport.text({ method: "GET", path, repeatable: true }, call);
  }

  /** Return the queries as a file of JSON lines. */
  async queries(name: string, call?: CallOptions): Promise<string> {
    const path = `${this.#of(name)}/queries`;
    return this.#transport.text({ method: "GET", path, repeatable: true }, call);
  }

  /**
   * Compare two configurations of a search over the judged queries of a set: first the start,
   * then each query as it is measured, at last the result. Leaving the loop ends it.
   */
  async *compare(
    name: string,
    body: ComparisonBody,
    call?: CallOptions,
  ): AsyncGenerator<ComparisonEvent, void, undefined> {
    const path = `${this.#of(name)}/comparison`;
    const request = { method: "POST", path, json: body, repeatable: true } as const;
    for await (const { event, value } of this.#transport.events(request, "result", call)) {
      if (event === "start" || event === "query" || event === "result") {
        yield { type: event, ...(value as object) } as ComparisonEvent;
      }
    }
  }

  #of(name: string): string {
    return `${this.#path}/${segment(name)}`;
  }
}
