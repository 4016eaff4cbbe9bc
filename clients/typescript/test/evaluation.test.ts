// Capabilities, files, explanations, judgments and comparisons.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as sp from "../src/index.js";
import { client, QUERY, withIndex } from "./fixture.js";

test("capabilities say what the server has and the key may do", async () => {
  const found = await client.capabilities();
  assert.equal(found.key_required, true);
  assert.deepEqual([...found.scopes].sort(), ["rerank", "search", "write"]);
  assert.equal(found.models.find((model) => model.default)?.name, "bundled");
  assert.ok(found.search_options.some((option) => option.name === "candidates"));
});

test("files are stored one by one, and those that cannot be read are named", async () => {
  await client.indexes.create({ name: "files" });
  try {
    const files = [
      new File(["# Soup\n\nSoup is served at noon.\n"], "soup.md"),
      new File([new Uint8Array([0, 1, 2])], "program.exe"),
      new File(['{"id": "tea", "text": "Tea is at four."}\n'], "tea.jsonl"),
    ];
    const said: [number, number, boolean][] = [];
    const outcomes = await client.indexes.addFiles("files", files, {
      onProgress: ({ sent, total, outcome }) => said.push([sent, total, "stored" in outcome]),
    });
    assert.deepEqual(said, [
      [1, 3, true],
      [2, 3, false],
      [3, 3, true],
    ]);
    assert.equal(outcomes[0]?.stored?.added, 1);
    const sent: [number, number][] = [];
    await client.indexes.addFile("files", "é.txt", "Café at five.", {
      onSent: (bytes, all) => sent.push([bytes, all]),
    });
    assert.deepEqual(sent, [[14, 14]]);
    await client.indexes.deleteDocuments("files", ["é.txt"]);
    assert.ok(outcomes[1]?.error instanceof sp.InputError);
    assert.equal((await client.indexes.get("files")).documents, 2);
    const versions = await client.indexes.versions("files");
    assert.ok(versions.length >= 2);
    const [first] = versions;
    const early = { query: "tea", version: first?.number ?? 1 };
    assert.ok((await client.search("files", early)).results.length < 2);
    const missing = client.indexes.addFiles("none", files);
    await assert.rejects(missing, sp.NotFoundError);
  } finally {
    await client.indexes.delete("files");
  }
});

test("explain says why a document has its rank", async () => {
  await withIndex("reasons", async () => {
    const found = await client.explain("reasons", {
      query: QUERY,
      document: "d1",
      depths: [2],
    });
    assert.equal(found.found, true);
    assert.equal(found.places?.final, 1);
    assert.ok(found.terms.some((term) => term.word.startsWith("password") && term.score > 0));
    assert.deepEqual(found.depths, [{ candidates: 2, rank: 1 }]);
  });
  const document = "To change the password, open the settings.";
  const alone = await client.explainText({ query: QUERY, document });
  assert.equal(alone.places, null);
  assert.ok(alone.spans.length > 0);
});

test("judgments are kept, and configurations compared over them", async () => {
  await withIndex("judged-here", async () => {
    const sets = client.querySets("judged-here");
    const body = { query: QUERY, grades: { d1: 3, d3: 1 } };
    const judged = await sets.judge("judged", body);
    assert.deepEqual(judged.grades, { d1: 3, d3: 1 });
    const less = await sets.judge("judged", { query: QUERY, grades: { d3: null } });
    assert.deepEqual(less.grades, { d1: 3 });
    assert.equal(await sets.qrels("judged"), `${judged.id} 0 d1 3\n`);
    assert.match(await sets.queries("judged"), /How do I change my password\?/);

    const queries = [
      { id: "a", text: QUERY },
      { id: "b", text: "What color is the sea?" },
      { id: "c", text: "How much does it cost?" },
    ];
    const grades = { a: { d1: 2 }, b: { d0: 2 }, c: { d2: 2 } };
    assert.equal((await sets.put("mine", { queries, grades })).judgments, 3);
    assert.ok((await sets.list()).some((set) => set.name === "mine" && set.queries === 3));
    assert.deepEqual((await sets.get("mine")).grades, grades);

    const events: sp.ComparisonEvent[] = [];
    const configurations = { before: { rerank: false }, after: {} };
    for await (const event of sets.compare("mine", configurations)) events.push(event);
    assert.deepEqual(
      events.map((event) => event.type),
      ["start", "query", "query", "query", "result"],
    );
    const result = events.at(-1);
    assert.ok(result?.type === "result" && result.queries === 3);
    assert.equal(result.effect.won + result.effect.tied + result.effect.lost, 3);
    const wrong = sets.compare("mine", { ...configurations, measure: "nothing" });
    await assert.rejects(wrong.next(), sp.InputError);
    assert.equal((await sets.delete("mine")).name, "mine");
    await assert.rejects(sets.get("mine"), sp.NotFoundError);
  });
});
