// The client of a server's native interface.

import { Indexes, indexPath } from "./indexes.js";
import { QuerySets } from "./query-sets.js";
import { Transport, type CallOptions, type ClientOptions } from "./transport.js";
import type {
  AnswerBody,
  AnswerEvent,
  AnswerPassage,
  Capabilities,
  ExplainBody,
  ExplainTextBody,
  ExplanationBody,
  FullAnswer,
  Ranking,
  RerankBody,
  SearchBody,
} from "./types.js";

/**
 * A client of one server. Bodies and results have the server's own fields
 * (docs/reference/http.md); nothing is renamed.
 */
export class Secondpass {
  readonly indexes: Indexes;
  readonly #transport: Transport;

  constructor(options: ClientOptions) {
    this.#transport = new Transport(options);
    this.indexes = new Indexes(this.#transport);
  }

  /** The address of the server. */
  get baseUrl(): string {
    return this.#transport.baseUrl;
  }

  /** Return what the server has, and what the caller may do. */
  async capabilities(call?: CallOptions): Promise<Capabilities> {
    const path = "/api/v1/capabilities";
    return this.#transport.json({ method: "GET", path, repeatable: true }, call);
  }

  /** List the names of the models that are served, the default first. */
  async models(call?: CallOptions): Promise<string[]> {
    const request = { method: "GET", path: "/api/v1/models", repeatable: true } as const;
    return (await this.#transport.json<{ models: string[] }>(request, call)).models;
  }

  /** Put documents in the order of their relevance to the query. */
  async rerank(body: RerankBody, call?: CallOptions): Promise<Ranking> {
    return this.#post("/api/v1/rerank", body, call);
  }

  /** Find documents of an index, in two passes. */
  async search(index: string, body: SearchBody, call?: CallOptions): Promise<Ranking> {
    return this.#post(`${indexPath(index)}/search`, body, call);
  }

  /** Answer a question from an index, with citations. */
  async answer(
    index: string,
    body: Omit<AnswerBody, "stream">,
    call?: CallOptions,
  ): Promise<FullAnswer> {
    return this.#post(`${indexPath(index)}/answer`, body, call);
  }

  /**
   * Answer a question as the text is written: first the passages, then pieces of the text, at
   * last the whole answer. Leaving the loop ends the request; `timeoutMs` is the longest pause.
   */
  async *streamAnswer(
    index: string,
    body: Omit<AnswerBody, "stream">,
    call?: CallOptions,
  ): AsyncGenerator<AnswerEvent, void, undefined> {
    const path = `${indexPath(index)}/answer`;
    const json = { ...body, stream: true };
    const request = { method: "POST", path, json, repeatable: true } as const;
    for await (const { event, value } of this.#transport.events(request, "answer", call)) {
      if (event === "passages") yield { type: event, passages: value as AnswerPassage[] };
      else if (event === "text") yield { type: event, text: (value as { text: string }).text };
      else if (event === "answer") yield { type: event, answer: value as FullAnswer };
    }
  }

  /** Explain why a document of an index has its rank. */
  async explain(
    index: string,
    body: ExplainBody,
    call?: CallOptions,
  ): Promise<ExplanationBody> {
    return this.#post(`${indexPath(index)}/explain`, body, call);
  }

  /** Explain the score of a text by the reranker alone, without an index. */
  async explainText(body: ExplainTextBody, call?: CallOptions): Promise<ExplanationBody> {
    return this.#post("/api/v1/explain", body, call);
  }

  /** The query sets of an index: their judgments, and comparisons over them. */
  querySets(index: string): QuerySets {
    return new QuerySets(this.#transport, index);
  }

  async #post<T>(path: string, json: unknown, call?: CallOptions): Promise<T> {
    // Reading calls: the server may get them twice.
    return this.#transport.json<T>({ method: "POST", path, json, repeatable: true }, call);
  }
}
