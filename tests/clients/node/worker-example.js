// The example of Cloudflare's page on reranking, unchanged, in a Worker that returns its result.
export default {
  async fetch(request, env) {
    const instance = env.AI_SEARCH.get("my-instance");

    const results = await instance.search({
      messages: [{ role: "user", content: "What is Cloudflare?" }],
      ai_search_options: {
        reranking: {
          enabled: true,
          model: "@cf/baai/bge-reranker-base",
        },
      },
    });
    return Response.json(results);
  },
};
