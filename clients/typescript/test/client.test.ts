import assert from "node:assert/strict";
import { test } from "node:test";
import * as sp from "../src/index.js";
import { BASE_URL, client, DOCUMENTS, KEY, QUERY, TEXTS, withIndex } from "./fixture.js";

test("rerank puts the text that answers first", async () => {
  const found = await client.rerank({ query: QUERY, documents: TEXTS, top_k: 2, spans: true });
  assert.equal(found.status, "reranked");
  assert.equal(found.results.length, 2);
  const [best] = found.results;
  assert.equal(best?.index, 1);
  assert.ok((best?.probability ?? 0) > 0.5);
  assert.ok(best?.spans.length);
});

test("models lists what is served", async () => {
  assert.ok((await client.models()).includes("bundled"));
});

test("an index from creating to deleting", async () => {
  const name = "made-here";
  assert.deepEqual((await client.indexes.create({ name, language: "english" })).documents, 0);
  const said: sp.UploadProgress[] = [];
  const stored = await client.indexes.addDocuments(name, DOCUMENTS, {
    batchSize: 3,
    onProgress: (progress) => said.push(progress),
  });
  assert.deepEqual(stored, { added: 4, updated: 0, unchanged: 0, empty: 0, passages: 4 });
  assert.deepEqual(
    said.map(({ sent, total, stored }) => [sent, total, stored.added]),
    [
      [3, 4, 3],
      [4, 4, 4],
    ],
  );
  async function* slowly(): AsyncGenerator<sp.DocumentBody> {
    yield* DOCUMENTS;
  }
  const again = await client.indexes.addDocuments(name, slowly());
  assert.equal(again.unchanged, 4);
  assert.ok((await client.indexes.list()).some((index) => index.name === name));
  assert.equal((await client.indexes.get(name)).documents, 4);
  const found = await client.search(name, { query: QUERY, top_k: 3, mode: "hybrid" });
  assert.equal(found.results[0]?.id, "d1");
  assert.equal(found.results[0]?.document?.text, TEXTS[1]);
  const plain = await client.search(name, { query: QUERY, rerank: false });
  assert.equal(plain.status, "skipped");
  assert.deepEqual(await client.indexes.deleteDocuments(name, ["d0", "none"]), { deleted: 1 });
  assert.equal((await client.indexes.delete(name)).documents, 3);
  await assert.rejects(client.indexes.get(name), sp.NotFoundError);
});

test("a streamed answer is the whole one", async () => {
  await withIndex("answers", async () => {
    const body = { query: QUERY, min_probability: null };
    const whole = await client.answer("answers", body);
    assert.equal(whole.status, "extractive");
    const events: sp.AnswerEvent[] = [];
    for await (const event of client.streamAnswer("answers", body)) events.push(event);
    assert.equal(events[0]?.type, "passages");
    const text = events.map((event) => (event.type === "text" ? event.text : "")).join("");
    assert.equal(text, whole.text);
    const last = events.at(-1);
    assert.ok(last?.type === "answer" && last.answer.text === whole.text);
    const missing = client.streamAnswer("nothing", body);
    await assert.rejects(missing.next(), sp.NotFoundError);
  });
});

test("errors have a class, and the parts of the server's sentence", async () => {
  await withIndex("errors", async () => {
    const wrong = client.search("errors", { query: "x", filter: "yaer > 2000" });
    await assert.rejects(wrong, (error) => {
      assert.ok(error instanceof sp.InputError && error instanceof sp.SecondpassError);
      assert.equal(error.status, 400);
      assert.equal(error.kind, "invalid");
      assert.ok(error.why ?? error.fix);
      assert.ok(error.message.startsWith(error.what));
      assert.ok(error.requestId);
      return true;
    });
    await assert.rejects(client.indexes.create({ name: "errors" }), sp.ConflictError);
  });
  await assert.rejects(client.search("none", { query: "x" }), sp.NotFoundError);
  await assert.rejects(client.search("..", { query: "x" }), sp.InputError);
  const unknown = new sp.Secondpass({ baseUrl: BASE_URL, apiKey: "wrong" });
  await assert.rejects(unknown.models(), sp.AuthenticationError);
  const changing = new sp.Secondpass({ baseUrl: `${BASE_URL}/`, apiKey: () => KEY });
  assert.ok((await changing.models()).length);
});

test("an upload that ends early says what was stored", async () => {
  await client.indexes.create({ name: "half" });
  const bad = [...DOCUMENTS, { id: "x".repeat(3000), text: "too long an id" }];
  const upload = client.indexes.addDocuments("half", bad, { batchSize: 4 });
  await assert.rejects(upload, (error) => {
    assert.ok(error instanceof sp.UploadError && error.cause instanceof sp.InputError);
    assert.equal(error.stored.added, 4);
    return true;
  });
  await assert.rejects(client.indexes.addDocuments("half", bad.slice(4)), sp.InputError);
  await client.indexes.delete("half");
});
