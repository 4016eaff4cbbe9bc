import assert from "node:assert/strict";
import { test } from "node:test";
import { createAiSearch } from "../src/cloudflare/index.js";
import * as sp from "../src/index.js";
import { BASE_URL, KEY } from "./fixture.js";

const search = createAiSearch({ baseUrl: BASE_URL, token: KEY, timeoutMs: 300_000 });
const messages = [{ role: "user" as const, content: "What is Cloudflare?" }];
const polls = { pollIntervalMs: 100, timeoutMs: 300_000 };

test("every call of the binding", async () => {
  const made = await search.create({ id: "my-instance", reranking: true });
  try {
    assert.equal((await made.info()).id, "my-instance");
    assert.equal((await made.update({ max_num_results: 7 })).max_num_results, 7);
    const names = (await search.list({ per_page: 10 })).result.map((one) => one.id);
    assert.ok(names.includes("my-instance"));

    const text =
      "# Cloudflare\n\nCloudflare is a company that runs a content delivery network.\n";
    const options = { ...polls, metadata: { kind: "about" } };
    const item = await made.items.uploadAndPoll("cloudflare.md", text, options);
    assert.deepEqual([item.key, item.status], ["cloudflare.md", "completed"]);
    assert.equal(item.metadata?.["kind"], "about");
    const tea = await made.items.upload("tea.txt", new Blob(["Tea is at four."]).stream());
    const bytes = new TextEncoder().encode("Soup is served at noon.");
    assert.equal(
      (await made.items.uploadAndPoll("soup.txt", bytes, polls)).status,
      "completed",
    );
    const listed = await made.items.list({ search: "cloud" });
    assert.deepEqual(
      listed.result.map((one) => one.key),
      ["cloudflare.md"],
    );

    const one = made.items.get(item.id);
    const [chunk] = (await one.chunks({ limit: 5 })).result;
    assert.match(chunk?.text ?? "", /content delivery/);
    assert.ok(Number.isNaN(chunk?.start_byte));
    assert.ok((await one.logs({ limit: 5 })).result.length > 0);
    const file = await one.download();
    assert.deepEqual([file.filename, file.size], ["cloudflare.md", text.length]);
    assert.equal(await new Response(file.body).text(), text);
    assert.equal((await one.sync()).key, "cloudflare.md");
    await made.items.delete(tea.id);

    const found = await search.get("my-instance").search({
      messages,
      ai_search_options: { reranking: { enabled: true, model: "@cf/baai/bge-reranker-base" } },
    });
    assert.equal(found.search_query, "What is Cloudflare?");
    assert.equal(found.chunks[0]?.item.key, "cloudflare.md");
    assert.ok((found.chunks[0]?.scoring_details?.reranking_score ?? 0) > 0.5);
    const several = await search.search({
      query: "soup",
      ai_search_options: { instance_ids: ["my-instance"] },
    });
    assert.equal(several.chunks[0]?.instance_id, "my-instance");

    const job = await made.jobs.create({ description: "again" });
    assert.equal((await made.jobs.get(job.id).info()).id, job.id);
    assert.ok((await made.jobs.list()).result.length >= 1);
    assert.ok(Array.isArray((await made.jobs.get(job.id).logs()).result));
    assert.equal((await made.jobs.get(job.id).cancel()).id, job.id);
    assert.ok("completed" in (await made.stats()));
  } finally {
    await search.delete("my-instance");
  }
});

test("chat completions, whole and as a stream of events", async () => {
  const made = await search.create({ id: "chat" });
  try {
    const text = "Cloudflare is a company that runs a content delivery network.";
    await made.items.uploadAndPoll("cloudflare.md", text, polls);
    const chat = await made.chatCompletions({ messages });
    const said = chat.choices[0]?.message.content ?? "";
    assert.match(said, /content delivery network/);
    assert.equal(chat.chunks.length, 1);
    const stream = await made.chatCompletions({ messages, stream: true });
    const events: sp.ServerSentEvent[] = [];
    for await (const event of sp.readEvents(stream)) events.push(event);
    assert.equal(events[0]?.event, "chunks");
    assert.equal(events.at(-1)?.data, "[DONE]");
    const pieces = events.slice(1, -1).map(({ data }) => {
      const { choices } = JSON.parse(data) as { choices: { delta: { content?: string } }[] };
      return choices[0]?.delta.content ?? "";
    });
    assert.equal(pieces.join(""), said);
  } finally {
    await search.delete("chat");
  }
});

test("failures have the names of the binding and the classes of this package", async () => {
  const named =
    (name: string, type: new (parts: sp.ErrorParts) => Error) => (error: unknown) => {
      assert.ok(error instanceof type && error instanceof Error);
      assert.equal(error.name, name);
      return true;
    };
  const missing = named("AiSearchNotFoundError", sp.NotFoundError);
  await assert.rejects(search.get("nobody").search({ query: "x" }), missing);
  await assert.rejects(search.get("nobody").items.get("nothing").info(), missing);
  const made = await search.create({ id: "failures" });
  try {
    const empty = made.search({ query: "" });
    await assert.rejects(empty, named("AiSearchInternalError", sp.InputError));
    const again = search.create({ id: "failures" });
    await assert.rejects(again, named("AiSearchInternalError", sp.ConflictError));
  } finally {
    await search.delete("failures");
  }
  // A name must not lead to another path of the server.
  const unnamed = named("AiSearchNameNotSetError", sp.InputError);
  assert.throws(() => search.get(".."), unnamed);
  assert.throws(() => search.get(""), unnamed);
});
