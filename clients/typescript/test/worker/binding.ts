// Compiled with the types of Workers alone: the client stands in for the binding.
import { Secondpass } from "../../src/index.js";
import { createAiSearch } from "../../src/cloudflare/index.js";

interface Env {
  BASE_URL: string;
  KEY: string;
}

export default {
  async fetch(_request: Request, env: Env): Promise<Response> {
    const search: AiSearchNamespace = createAiSearch({ baseUrl: env.BASE_URL, token: env.KEY });
    const instance: AiSearchInstance = await search.create({ id: "worker", reranking: true });
    try {
      const items: AiSearchItems = instance.items;
      const uploaded: AiSearchItemInfo = await items.uploadAndPoll(
        "cloudflare.md",
        new Blob(["Cloudflare is a company that runs a content delivery network."]).stream(),
        { pollIntervalMs: 100, timeoutMs: 60_000, metadata: { kind: "about" } },
      );
      // The example of Cloudflare's page on reranking.
      const results: AiSearchSearchResponse = await instance.search({
        messages: [{ role: "user", content: "What is Cloudflare?" }],
        ai_search_options: {
          reranking: { enabled: true, model: "@cf/baai/bge-reranker-base" },
        },
      });
      const stream = await instance.chatCompletions({
        messages: [{ role: "user", content: "What is Cloudflare?" }],
        stream: true,
      });
      const streamed = await new Response(stream).text();
      const client = new Secondpass({ baseUrl: env.BASE_URL, apiKey: env.KEY });
      const ranking = await client.rerank({ query: "sea", documents: ["bread", "the sea"] });
      return Response.json({
        status: uploaded.status,
        keys: results.chunks.map((chunk) => chunk.item.key),
        isWhole: streamed.endsWith("data: [DONE]\n\n"),
        best: ranking.results[0]?.index,
      });
    } finally {
      await search.delete("worker");
    }
  },
};
