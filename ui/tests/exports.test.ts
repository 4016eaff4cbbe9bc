import { execFileSync } from "node:child_process";

import { describe, expect, it } from "vitest";

import { fileName } from "../src/exports/files";
import { toHtml } from "../src/exports/offline";
import { runRows, toJsonLines, toTrec } from "../src/exports/run";
import { toCurl, toPython, toTypeScript, type Search } from "../src/exports/snippets";
import { toToml } from "../src/exports/toml";
import { firstPass, secondPass } from "../src/model/ranking";
import { ranking, result } from "./results";

const search: Search = {
  origin: "http://127.0.0.1:8080",
  index: "my docs",
  query: 'What\'s "new"? $(rm -rf /) `x` \\ é 😀',
  options: {
    top_k: 5,
    candidates: 100,
    cascade: true,
    blend: { rerank: 2, bm25: 0.5 },
    weights: [0.3, 0.7],
    filter: "author = 'O''Hara'",
  },
  needsKey: false,
};

describe("snippets", () => {
  it("give a shell exactly the body of the request", () => {
    // The command itself, with a curl that prints what it was given.
    const script = `curl() { printf '%s\\0' "$@"; }\n${toCurl(search)}`;
    const given = execFileSync("bash", ["-c", script], { encoding: "utf-8" }).split("\0");
    const body = given[given.indexOf("-d") + 1] ?? "";
    expect(JSON.parse(body)).toEqual({ query: search.query, ...search.options });
    expect(given).toContain("http://127.0.0.1:8080/api/v1/indexes/my%20docs/search");
  });

  it("name the key only where one is needed", () => {
    expect(toCurl(search)).not.toContain("Authorization");
    expect(toCurl({ ...search, needsKey: true })).toContain("$SECONDPASS_KEY");
    expect(toTypeScript({ ...search, needsKey: true })).toContain("SECONDPASS_KEY");
  });

  it("give Python the same values", () => {
    const program = toPython(search).replace(
      /^from .*$/m,
      "import json, types\n" +
        "class Index:\n" +
        "    @classmethod\n" +
        "    def open(cls, folder): return cls()\n" +
        "    def search(self, query, **options):\n" +
        "        print(json.dumps([query, options]))\n" +
        "        return types.SimpleNamespace(results=[])\n",
    );
    const printed = execFileSync("python3", ["-c", program], { encoding: "utf-8" });
    expect(JSON.parse(printed)).toEqual([search.query, search.options]);
  });

  it("give TypeScript the same values", () => {
    const text = toTypeScript(search);
    const body = text.slice(text.indexOf('", {') + 3, text.indexOf("});\nfor"));
    expect(JSON.parse(`${body}}`)).toEqual({ query: search.query, ...search.options });
  });
});

describe("the configuration file", () => {
  it("is TOML with the same values", () => {
    const options = {
      ...search.options,
      min_probability: 1e-7,
      template: 'a "b" \\ \u007f\n',
    };
    const program =
      "import json, sys, tomllib; print(json.dumps(tomllib.loads(sys.stdin.read())['search']))";
    const read = execFileSync("python3", ["-c", program], {
      input: toToml(options),
      encoding: "utf-8",
    });
    expect(JSON.parse(read)).toEqual(options);
  });

  it("leaves out what belongs to one query, and says so", () => {
    const text = toToml({ query_variants: ["x"], mode: "bm25" });
    expect(text).toContain("# query_variants belongs to one query");
    expect(text).not.toMatch(/^query_variants/m);
  });
});

describe("the offline page", () => {
  const hostile = '<script>alert(1)</script><svg onload="x()">\' & \u202Egnp';
  const response = ranking([
    result("a", 1, 2, {
      document: { text: hostile, id: hostile, title: hostile, metadata: {} },
      spans: [{ start: 0, end: 8, score: 1, probability: 0.9 }],
    }),
    result("b", 2, 1),
  ]);
  const html = toHtml({
    query: hostile,
    index: hostile,
    version: "1",
    columns: [
      { title: "First", subtitle: hostile, first: true, places: firstPass(response) },
      { title: "Second", subtitle: "", first: false, places: secondPass(response) },
    ],
    topK: 1,
    configurations: [{ filter: hostile }],
    status: "reranked",
    reason: hostile,
    warnings: [hostile],
    timings: { total: 1 },
    date: "2026-01-01",
  });

  it("never has a text as HTML", () => {
    expect(html).not.toMatch(/<script/i);
    expect(html).not.toMatch(/<svg onload/i);
    expect(html).toContain("&lt;script&gt;");
    expect(html).toContain("<mark>&lt;script&gt;</mark>");
  });

  it("requests nothing", () => {
    expect(html).not.toMatch(/(src|href)=/);
    expect(html).toContain("default-src 'none'");
  });
});

describe("file names", () => {
  it("have the words of the question", () => {
    expect(fileName("Who's first? ../../x", "html")).toBe("who-s-first-x.html");
    expect(fileName("???", "json")).toBe("secondpass.json");
    expect(fileName("Где Волга", "html")).toBe("где-волга.html");
  });
});

describe("a run", () => {
  const found = ranking([
    result("b#1", 1, 2, { document_id: "b", score: 0.5 }),
    result("a", 2, 1, { score: 0.5 }),
    result("b#2", 3, 3, { document_id: "b", score: 0.4 }),
    result("c", 4, 4, { score: 3 }),
    result("d", 5, 5, { score: 0 }),
    result("e", 6, 6, { score: 0 }),
  ]);
  const rows = runRows(found, "q7");

  it("has each document once, in the order of the ranking", () => {
    expect(rows.map((row) => [row.doc_id, row.rank])).toEqual([
      ["b", 1],
      ["a", 2],
      ["c", 3],
      ["d", 4],
      ["e", 5],
    ]);
    const scores = rows.map((row) => row.score);
    expect(scores.toSorted((a, b) => b - a)).toEqual(scores);
    expect(new Set(scores).size).toBe(scores.length);
    // As near to the scores as single precision allows.
    expect(scores[1]).toBeCloseTo(0.5, 6);
    expect(scores[4]).toBe(-(2 ** -149));
    expect(scores.map(Math.fround)).toEqual(scores);
  });

  it("is a line of JSON for each document, or of TREC", () => {
    const lines = toJsonLines(rows).trimEnd().split("\n");
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ query_id: "q7", doc_id: "b" });
    expect(lines).toHaveLength(5);
    expect(toTrec(rows, "A")?.split("\n")[0]).toBe("q7 Q0 b 1 0.5 A");
    expect(toTrec(runRows(ranking([result("a b", 1, 1)]), "q7"), "A")).toBeNull();
  });
});
