// Cohere's client for Node.
const { CohereClientV2 } = require("cohere-ai");

const { settings, key, query, texts, top } = JSON.parse(process.argv[2]);

(async () => {
  const client = new CohereClientV2({ token: key, ...settings });
  const request = { model: "rerank-v3.5", query, documents: texts, topN: top };
  const { results } = await client.rerank(request);
  console.log(JSON.stringify(results.map((row) => row.index)));
})();
