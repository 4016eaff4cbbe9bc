// Calls of the client that use what a runtime brings along, with the outcome as JSON.
import { createAiSearch } from "../../src/cloudflare/index.js";
import * as sp from "../../src/index.js";

const baseUrl = process.env["SECONDPASS_URL"] ?? "";
const apiKey = process.env["SECONDPASS_KEY"] ?? "";
const name = process.env["SECONDPASS_INDEX"] ?? "";
const client = new sp.Secondpass({ baseUrl, apiKey });
const search = createAiSearch({ baseUrl, token: apiKey });

async function rejection(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => "nothing was thrown",
    (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : error),
  );
}

const documents = ["The sea is blue.", "To change the password, open the settings."];
const ranking = await client.rerank({ query: "How do I change my password?", documents });
await client.indexes.create({ name });
const files = [new File(["Onion soup needs an hour."], "soup.txt")];
const [file] = await client.indexes.addFiles(name, files);
const events: string[] = [];
const body = { query: "How long does soup take?", min_probability: null };
for await (const event of client.streamAnswer(name, body)) events.push(event.type);
await client.indexes.delete(name);

const instance = await search.create({ id: name });
const bytes = new Blob(["Tea is served at four."]).stream();
const polls = { pollIntervalMs: 100, timeoutMs: 60_000 };
const uploaded = await instance.items.uploadAndPoll("tea.txt", bytes, polls);
await search.delete(name);

const outcome = {
  best: ranking.results[0]?.index,
  stored: file?.stored?.added,
  events: [...new Set(events)],
  uploaded: uploaded.status,
  missing: (await rejection(client.indexes.get("none"))) as string,
  aborted: await rejection(client.models({ signal: AbortSignal.abort(new Error("no more")) })),
};
console.log(JSON.stringify(outcome));
