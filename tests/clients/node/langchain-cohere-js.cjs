// LangChain's reranker for Cohere, whose client is of the version that it brings.
const { createRequire } = require("node:module");
const { CohereRerank } = require("@langchain/cohere");
const { Document } = require("@langchain/core/documents");

const { CohereClient } = createRequire(require.resolve("@langchain/cohere"))("cohere-ai");
const { settings, key, query, texts, top } = JSON.parse(process.argv[2]);

(async () => {
  const client = new CohereClient({ token: key, ...settings });
  const compressor = new CohereRerank({ client, model: "rerank-v3.5", topN: top });
  const documents = texts.map((pageContent) => new Document({ pageContent }));
  const found = await compressor.compressDocuments(documents, query);
  console.log(JSON.stringify(found.map((one) => texts.indexOf(one.pageContent))));
})();
