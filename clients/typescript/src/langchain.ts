// A document compressor for LangChain.

import { Document, type DocumentInterface } from "@langchain/core/documents";
import { BaseDocumentCompressor } from "@langchain/core/retrievers/document_compressors";
import { Secondpass } from "./client.js";
import type { ClientOptions } from "./transport.js";
import type { Ranking, RerankBody, Result } from "./types.js";

/** Where the server is, and how it reranks. */
export interface SecondpassRerankOptions extends ClientOptions {
  /** A model of the server; its first if absent. */
  model?: string;
  /** How many documents are returned; all if absent. */
  topN?: number;
  /** Further fields of a rerank request. The text alone is read unless `fields` name metadata. */
  options?: Omit<RerankBody, "query" | "documents" | "model" | "top_k">;
}

/**
 * Put documents in the order of their relevance to the query. Each returned copy has
 * `relevanceScore` in its metadata, as LangChain's other rerankers have (absent where it was not
 * scored, as after a fallback), and what the adapter for Python adds: `rerank_status`,
 * `rerank_scored`, `rerank_score_kind`, and where they are known `rerank_model`,
 * `rerank_reason`, `rerank_probability`, `rerank_unread` and `rerank_spans`.
 */
export class SecondpassRerank extends BaseDocumentCompressor {
  readonly #client: Secondpass;
  readonly #body: Omit<RerankBody, "query" | "documents">;

  constructor({ model, topN, options, ...client }: SecondpassRerankOptions) {
    super();
    this.#client = new Secondpass(client);
    this.#body = { ...options };
    if (model !== undefined) this.#body.model = model;
    if (topN !== undefined) this.#body.top_k = topN;
  }

  /** Return copies of the documents in their new order. */
  override async compressDocuments(
    documents: DocumentInterface[],
    query: string,
  ): Promise<DocumentInterface[]> {
    if (documents.length === 0) return [];
    const texts = documents.map(({ pageContent, metadata }) => ({
      text: pageContent,
      metadata,
    }));
    const found = await this.#client.rerank({ ...this.#body, query, documents: texts });
    return found.results.flatMap((result) => {
      const document = documents[result.index];
      return document === undefined ? [] : [ranked(document, found, result)];
    });
  }
}

function ranked(
  { pageContent, metadata, id }: DocumentInterface,
  found: Ranking,
  result: Result,
) {
  const outcome = {
    rerank_status: found.status,
    rerank_scored: result.scored,
    rerank_score_kind: result.score_kind,
    rerank_model: found.model,
    rerank_reason: found.reason,
    rerank_probability: result.probability,
    rerank_unread: result.unread > 0 ? result.unread : null,
    rerank_spans: result.spans.length > 0 ? result.spans : null,
    relevanceScore: result.scored ? result.score : null,
  };
  // Those of an earlier reranking are replaced, or removed.
  const added = Object.fromEntries(
    Object.entries({ ...metadata, ...outcome }).filter(
      ([name, value]) => value !== null || !(name in outcome),
    ),
  );
  return new Document({ pageContent, metadata: added, ...(id === undefined ? {} : { id }) });
}
