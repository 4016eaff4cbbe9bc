// What users of weaviate-client for Node do: {host, port, grpcPort, key} as the only argument.
const assert = require("node:assert/strict");
const {
  default: weaviate,
  ApiKey,
  Filters,
  dataType,
  reranker,
  vectors,
} = require("weaviate-client");

const { host, port, grpcPort, key } = JSON.parse(process.argv[2]);
const QUESTION = "What is the capital of France?";
const TEXTS = {
  paris: "Paris is the capital of France",
  berlin: "Berlin lies in Germany",
  dogs: "Dogs bark at night",
};
const names = (found) => found.objects.map((one) => one.properties.name);

async function main() {
  const client = await weaviate.connectToLocal({
    host,
    port,
    grpcPort,
    authCredentials: new ApiKey(key),
  });
  try {
    const docs = await client.collections.create({
      name: "Doc",
      properties: [
        { name: "name", dataType: dataType.TEXT },
        { name: "text", dataType: dataType.TEXT },
        { name: "n", dataType: dataType.INT },
        { name: "tags", dataType: dataType.TEXT_ARRAY },
      ],
      vectorizers: vectors.text2VecTransformers({ sourceProperties: ["text"] }),
      reranker: reranker.transformers(),
    });
    const rows = Object.entries(TEXTS).map(([name, text], n) => ({ name, text, n, tags: [name] }));
    const done = await docs.data.insertMany(rows);
    assert.equal(done.hasErrors, false);

    const rerank = { property: "text", query: QUESTION };
    for (const found of [
      await docs.query.hybrid(QUESTION, { rerank, returnMetadata: "all" }),
      await docs.query.bm25("capital lies bark", { rerank, returnMetadata: "all" }),
      await docs.query.nearText("a city", { rerank, returnMetadata: "all" }),
    ]) {
      assert.equal(names(found)[0], "paris");
      const scores = found.objects.map((one) => one.metadata.rerankScore);
      assert.deepEqual(scores, [...scores].sort((a, b) => b - a));
    }
    const near = await docs.query.nearText("puppies", { limit: 1, includeVector: true });
    assert.deepEqual(near.objects[0].properties, rows[2]);
    const vector = near.objects[0].vectors.default;
    assert.equal(vector.length, 384);
    assert.deepEqual(names(await docs.query.nearVector(vector, { limit: 1 })), ["dogs"]);
    const id = near.objects[0].uuid;
    assert.equal((await docs.query.fetchObjectById(id)).properties.name, "dogs");
    assert.deepEqual(names(await docs.query.nearObject(id, { limit: 1 })), ["dogs"]);

    const by = docs.filter.byProperty("n");
    const tagged = docs.filter.byProperty("tags").containsAny(["dogs", "x"]);
    const filters = Filters.and(by.greaterThan(0), tagged);
    assert.deepEqual(names(await docs.query.fetchObjects({ filters })), ["dogs"]);
    const sorted = await docs.query.fetchObjects({
      filters: by.isNull(false),
      sort: docs.sort.byProperty("n", false),
      limit: 2,
    });
    assert.deepEqual(names(sorted), ["dogs", "berlin"]);
    let seen = 0;
    for await (const one of docs.iterator()) seen += one.uuid ? 1 : 0;
    assert.equal(seen, 3);
    const absent = docs.filter.byProperty("absent").equal(1);
    await assert.rejects(docs.query.fetchObjects({ filters: absent }), /no such prop/);

    const gone = await docs.data.deleteMany(by.greaterThan(1), { verbose: true });
    assert.equal(gone.successful, 1);
    const wrong = await docs.data.insertMany([{ n: "five" }, { name: "good" }]);
    assert.deepEqual(Object.keys(wrong.errors), ["0"]);
    assert.match(wrong.errors[0].message, /not an integer/);
    assert.equal((await docs.aggregate.overAll()).totalCount, 3);
  } finally {
    await client.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
