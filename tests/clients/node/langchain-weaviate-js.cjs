// LangChain's store for Weaviate: it creates the class, stores vectors of its own, and reranks.
const { Document } = require("@langchain/core/documents");
const { FakeEmbeddings } = require("@langchain/core/utils/testing");
const { WeaviateStore } = require("@langchain/weaviate");
const { default: weaviate, ApiKey } = require("weaviate-client");

const { settings, key, query, texts, top } = JSON.parse(process.argv[2]);

(async () => {
  const ports = Object.fromEntries(Object.entries(settings).map(([k, v]) => [k, Number(v)]));
  const client = await weaviate.connectToLocal({ ...ports, authCredentials: new ApiKey(key) });
  const options = { client, indexName: "FromNode", textKey: "text", metadataKeys: [] };
  const documents = texts.map((pageContent) => new Document({ pageContent }));
  const store = await WeaviateStore.fromDocuments(documents, new FakeEmbeddings(), options);
  const rerank = { property: "text", query };
  const found = await store.hybridSearch(query, { limit: texts.length, rerank });
  console.log(JSON.stringify(found.slice(0, top).map((one) => texts.indexOf(one.pageContent))));
  await client.close();
})();
