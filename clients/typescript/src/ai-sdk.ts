// A reranking model for the AI SDK: `rerank({ model: secondpass.reranking("bundled"), … })`.

import { Secondpass } from "./client.js";
import type { ClientOptions } from "./transport.js";
import type { Ranking, RerankBody } from "./types.js";

type Json = null | string | number | boolean | Json[] | { [key: string]: Json | undefined };
type JsonObject = { [key: string]: Json | undefined };

/** What the AI SDK gives to a reranking model (its interface, version 3). */
export interface RerankCall {
  documents: { type: "text"; values: string[] } | { type: "object"; values: JsonObject[] };
  query: string;
  topN?: number;
  abortSignal?: AbortSignal;
  headers?: Record<string, string | undefined>;
  /** Under `secondpass`: further fields of a rerank request, such as `instructions`. */
  providerOptions?: Record<string, JsonObject>;
}

/** What a reranking model returns to the AI SDK. */
export interface RerankOutcome {
  ranking: { index: number; relevanceScore: number }[];
  providerMetadata: Record<string, JsonObject>;
  warnings: { type: "other"; message: string }[];
  response: { id: string; modelId?: string };
}

/** A reranking model of a secondpass server, in the interface of the AI SDK, version 3. */
export interface SecondpassRerankingModel {
  readonly specificationVersion: "v3";
  readonly provider: "secondpass";
  readonly modelId: string;
  /**
   * Rerank documents; objects are read as lines "field: value". `relevanceScore` is the
   * probability of relevance, or the model's own score where it has none.
   */
  doRerank(options: RerankCall): Promise<RerankOutcome>;
}

/** Return a provider of reranking models, by the names that the server knows. */
export function createSecondpass(options: ClientOptions): {
  reranking(modelId: string): SecondpassRerankingModel;
  rerankingModel(modelId: string): SecondpassRerankingModel;
} {
  const client = new Secondpass(options);
  const reranking = (modelId: string): SecondpassRerankingModel => ({
    specificationVersion: "v3",
    provider: "secondpass",
    modelId,
    // Not a method with private fields: AI SDK 7 calls it on a Proxy of the model.
    doRerank: (call) => rerank(client, modelId, call),
  });
  return { reranking, rerankingModel: reranking };
}

async function rerank(
  client: Secondpass,
  model: string,
  { documents, query, topN, abortSignal: signal, headers, providerOptions }: RerankCall,
): Promise<RerankOutcome> {
  const values = documents.type === "text" ? documents.values : documents.values.map(lines);
  const body: RerankBody = {
    ...(providerOptions?.["secondpass"] as Partial<RerankBody> | undefined),
    query,
    documents: values,
    model,
    return_documents: false,
  };
  if (topN !== undefined) body.top_k = topN;
  const found = await client.rerank(body, { signal, headers });
  // One scale for all of a response: the order must be that of the scores.
  const isLikely = found.results.every((result) => result.probability !== null);
  return {
    ranking: found.results.map(({ index, score, probability }) => ({
      index,
      relevanceScore: isLikely && probability !== null ? probability : score,
    })),
    providerMetadata: { secondpass: about(found) },
    warnings: warnings(found).map((message) => ({ type: "other", message })),
    response: { id: found.id, ...(found.model === null ? {} : { modelId: found.model }) },
  };
}

function lines(value: JsonObject): string {
  return Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .map(([name, field]) => {
      return `${name}: ${typeof field === "string" ? field : JSON.stringify(field)}`;
    })
    .join("\n");
}

function about({ status, reason, results, timings }: Ranking): JsonObject {
  const kinds = results.map((result) => result.score_kind);
  return { status, reason, score_kind: kinds[0] ?? null, timings };
}

function warnings({ status, reason, warnings }: Ranking): string[] {
  if (status === "reranked") return warnings;
  return [`${status}: ${reason ?? "no reason given"}`, ...warnings];
}
