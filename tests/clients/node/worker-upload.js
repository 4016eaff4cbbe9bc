// Uploads a file and waits until it can be searched.
export default {
  async fetch(request, env) {
    const items = env.AI_SEARCH.get("my-instance").items;
    const options = { pollIntervalMs: 100, timeoutMs: 60000 };
    return Response.json(await items.uploadAndPoll("cloudflare.md", await request.text(), options));
  },
};
