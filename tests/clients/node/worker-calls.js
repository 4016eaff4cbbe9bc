// Every call of the bindings, as Cloudflare's types describe them.
export default {
  async fetch(request, env) {
    const said = {};
    const created = await env.AI_SEARCH.create({ id: "other", reranking: true });
    said.created = (await created.info()).id;
    said.listed = (await env.AI_SEARCH.list({ per_page: 10 })).result.map((one) => one.id).sort();
    said.updated = (await created.update({ max_num_results: 7 })).max_num_results;

    const text = "# Soup\n\nSoup is served at noon.\n";
    const item = await created.items.uploadAndPoll("soup.md", text, {
      metadata: { kind: "menu" },
      pollIntervalMs: 100,
      timeoutMs: 60000,
    });
    said.uploaded = [item.key, item.status, item.metadata.kind];
    const stream = new Blob(["Tea is served at four."]).stream();
    const tea = await created.items.upload("tea.txt", stream);
    said.items = (await created.items.list({ search: "soup" })).result.map((one) => one.key);
    const soup = created.items.get(item.id);
    said.chunks = (await soup.chunks({ limit: 5 })).result.length;
    said.logs = (await soup.logs({ limit: 5 })).result.length > 0;
    const file = await soup.download();
    said.file = [file.filename, file.size === text.length, await new Response(file.body).text()];
    said.synced = (await soup.sync()).key;
    await created.items.delete(tea.id);

    const job = await created.jobs.create({ description: "again" });
    said.jobs = (await created.jobs.list()).result.length;
    said.job = (await created.jobs.get(job.id).info()).id === job.id;
    said.job_logs = Array.isArray((await created.jobs.get(job.id).logs()).result);
    said.cancelled = (await created.jobs.get(job.id).cancel()).id === job.id;
    said.stats = Object.keys(await created.stats()).includes("completed");

    const messages = [{ role: "user", content: "What is Cloudflare?" }];
    const chat = await env.ONE.chatCompletions({ messages });
    said.chat = [chat.choices[0].message.content, chat.chunks.length];
    const streamed = await env.ONE.chatCompletions({ messages, stream: true });
    said.streamed = await new Response(streamed).text();
    said.one = (await env.ONE.search({ query: "What is Cloudflare?" })).chunks[0].item.key;
    said.one_items = (await env.ONE.items.list()).result.map((one) => one.key);
    const several = { query: "soup", ai_search_options: { instance_ids: ["my-instance", "other"] } };
    said.several = (await env.AI_SEARCH.search(several)).chunks.map((one) => one.instance_id);

    await env.AI_SEARCH.delete("other");
    said.deleted = (await env.AI_SEARCH.list()).result.map((one) => one.id);
    return Response.json(said);
  },
};
