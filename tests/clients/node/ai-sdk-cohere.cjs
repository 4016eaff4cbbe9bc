// The Vercel AI SDK with its provider for Cohere.
const { createCohere } = require("@ai-sdk/cohere");
const { rerank } = require("ai");

const { settings, key, query, texts, top } = JSON.parse(process.argv[2]);

(async () => {
  const model = createCohere({ apiKey: key, ...settings }).reranking("rerank-v3.5");
  const { ranking } = await rerank({ model, query, documents: texts, topN: top });
  console.log(JSON.stringify(ranking.map((row) => row.originalIndex)));
})();
