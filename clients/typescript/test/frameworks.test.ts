// The adapters, used by the frameworks that they are for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Document } from "@langchain/core/documents";
import { BaseRetriever } from "@langchain/core/retrievers";
import { rerank, type RerankingModel } from "ai";
import { createSecondpass } from "../src/ai-sdk.js";
import * as sp from "../src/index.js";
import { SecondpassRerank } from "../src/langchain.js";
import { BASE_URL, KEY, QUERY, TEXTS } from "./fixture.js";

const secondpass = createSecondpass({ baseUrl: BASE_URL, apiKey: KEY });

test("the AI SDK reranks texts", async () => {
  const model: RerankingModel = secondpass.reranking("bundled");
  const found = await rerank({ model, query: QUERY, documents: TEXTS, topN: 2 });
  assert.deepEqual(found.rerankedDocuments[0], TEXTS[1]);
  assert.equal(found.ranking.length, 2);
  const [best, next] = found.ranking;
  assert.ok(best && next && best.score > next.score && best.score > 0.5 && best.score <= 1);
  assert.equal(found.providerMetadata?.["secondpass"]?.["status"], "reranked");
});

test("a model works through a Proxy, as AI SDK 7 calls it", async () => {
  const model = secondpass.reranking("bundled");
  const through = new Proxy(model, {
    get: (target, name) => (name === "specificationVersion" ? "v4" : Reflect.get(target, name)),
  });
  const documents = { type: "text" as const, values: TEXTS };
  const { ranking } = await through.doRerank({ query: QUERY, documents });
  assert.equal(ranking[0]?.index, 1);
});

test("the AI SDK reranks objects, and passes options on", async () => {
  const documents = TEXTS.map((text, number) => ({ text, number }));
  const found = await rerank({
    model: secondpass.reranking("bundled-tiny"),
    query: QUERY,
    documents,
    providerOptions: { secondpass: { max_length: 64 } },
  });
  assert.deepEqual(found.rerankedDocuments[0], documents[1]);
  const wrong = rerank({
    model: secondpass.reranking("bundled"),
    query: QUERY,
    documents,
    providerOptions: { secondpass: { max_length: 0 } },
  });
  await assert.rejects(wrong, sp.InputError);
  const over = AbortSignal.abort(new Error("no more"));
  await assert.rejects(
    rerank({
      model: secondpass.reranking("bundled"),
      query: QUERY,
      documents,
      abortSignal: over,
    }),
    /no more/,
  );
});

test("LangChain's compressor orders copies of the documents", async () => {
  class Everything extends BaseRetriever {
    lc_namespace = ["tests"];
    override async _getRelevantDocuments(): Promise<Document[]> {
      return TEXTS.map(
        (text, n) => new Document({ pageContent: text, metadata: { n }, id: `${n}` }),
      );
    }
  }
  const compressor = new SecondpassRerank({ baseUrl: BASE_URL, apiKey: KEY, topN: 2 });
  const given = await new Everything().invoke(QUERY);
  const found = await compressor.compressDocuments(given, QUERY);
  assert.equal(found.length, 2);
  const [best] = found;
  assert.ok(best);
  assert.deepEqual([best.pageContent, best.id], [TEXTS[1], "1"]);
  const { n, relevanceScore, rerank_status, rerank_probability, rerank_reason } = best.metadata;
  assert.deepEqual([n, typeof relevanceScore, rerank_status], [1, "number", "reranked"]);
  assert.ok(rerank_probability > 0.5 && rerank_probability <= 1);
  assert.equal(rerank_reason, undefined);
  assert.deepEqual(given[1]?.metadata, { n: 1 });
  assert.deepEqual(await compressor.compressDocuments([], QUERY), []);
});
