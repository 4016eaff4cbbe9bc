import type { Json, Options } from "../api/types";

/** A search as it is seen: where, what and how. */
export interface Search {
  /** Address of the server, such as http://127.0.0.1:8080. */
  origin: string;
  index: string;
  query: string;
  options: Options;
  needsKey: boolean;
}

/** Write a search as a command for a shell. */
export function toCurl(search: Search): string {
  const body = JSON.stringify({ query: search.query, ...search.options }, null, 2);
  const address = `${search.origin}/api/v1/indexes/${encodeURIComponent(search.index)}/search`;
  const key = search.needsKey ? '  -H "Authorization: Bearer $SECONDPASS_KEY" \\\n' : "";
  return (
    `curl -s ${quoted(address)} \\\n` +
    key +
    "  -H 'Content-Type: application/json' \\\n" +
    `  -d ${quoted(body)}\n`
  );
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Write a search as a program that uses the library, without a server. */
export function toPython(search: Search): string {
  const options = Object.entries(search.options).map(
    ([name, value]) => `    ${name}=${pythonValue(value)},\n`,
  );
  return (
    "from secondpass import Index\n\n" +
    `index = Index.open(${pythonValue(search.index)})  # the folder of the index\n` +
    `response = index.search(\n    ${pythonValue(search.query)},\n${options.join("")})\n` +
    "for result in response.results:\n" +
    "    print(result.rank, result.probability, result.document.title)\n"
  );
}

export function pythonValue(value: Json): string {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(pythonValue).join(", ")}]`;
  if (typeof value === "object") {
    const inner = Object.entries(value).map(
      ([n, v]) => `${pythonValue(n)}: ${pythonValue(v)}`,
    );
    return `{${inner.join(", ")}}`;
  }
  // A text in JSON is one in Python, too: the escapes of JSON mean the same there, but for
  // pairs of surrogates, which JSON.stringify writes only for broken text.
  return JSON.stringify(value);
}

/** Write a search as a program that uses the TypeScript client. */
export function toTypeScript(search: Search): string {
  const body = JSON.stringify({ query: search.query, ...search.options }, null, 2);
  const key = search.needsKey ? ", apiKey: process.env.SECONDPASS_KEY" : "";
  return (
    'import { Secondpass } from "secondpass";\n\n' +
    `const secondpass = new Secondpass({ baseUrl: ${JSON.stringify(search.origin)}${key} });\n` +
    `const ranking = await secondpass.search(${JSON.stringify(search.index)}, ${body});\n` +
    "for (const result of ranking.results) {\n" +
    "  console.log(result.rank, result.probability, result.document?.title);\n" +
    "}\n"
  );
}
