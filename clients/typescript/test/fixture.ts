// The server that run.ts started, and the documents that the tests store there.
import { Secondpass, type DocumentBody } from "../src/index.js";

export const BASE_URL = process.env["SECONDPASS_URL"] ?? "http://127.0.0.1:8080";
export const KEY = process.env["SECONDPASS_KEY"] ?? "";
// Patient, for machines that do much else meanwhile.
export const client = new Secondpass({ baseUrl: BASE_URL, apiKey: KEY, timeoutMs: 300_000 });

export const QUERY = "How do I change my password?";
export const TEXTS = [
  "The sea is blue.",
  "To change the password, open the settings.",
  "Our pricing starts at $9.99/month",
  "Password rules: 8 characters",
];
export const DOCUMENTS: DocumentBody[] = TEXTS.map((text, n) => ({ id: `d${n}`, text }));

/** Create an index of these documents, for the time of a function. */
export async function withIndex(name: string, use: () => Promise<void>): Promise<void> {
  await client.indexes.create({ name });
  try {
    await client.indexes.addDocuments(name, DOCUMENTS);
    await use();
  } finally {
    await client.indexes.delete(name);
  }
}
