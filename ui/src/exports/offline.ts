import type { Options } from "../api/types";
import { decimal, milliseconds, percent } from "../model/format";
import { pieces } from "../model/highlight";
import { slopes, type Column, type Place } from "../model/ranking";

/** What an offline page shows. */
export interface OfflineView {
  query: string;
  index: string;
  version: string;
  columns: Column[];
  topK: number;
  configurations: Options[];
  status: string;
  reason: string | null;
  warnings: string[];
  timings: Record<string, number>;
  /** When it was written, as people write it. */
  date: string;
}

const ROW = 64;
const ROWS = 20;

const STYLE = `
:root{color-scheme:light dark;--line:light-dark(#ddd,#343945);--muted:light-dark(#565b66,#a9afbb);
--up:light-dark(#0a6b4b,#62d6a8);--down:light-dark(#96490a,#f0a768)}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}
.columns{display:flex;overflow-x:auto}ol{list-style:none;margin:0;padding:0;flex:1 0 12rem;min-width:0}
li{height:${ROW}px;border-bottom:1px solid var(--line);overflow:hidden;padding:.2rem .5rem;box-sizing:border-box;font-size:.88rem;line-height:1.3}
svg{flex:0 0 6rem;height:auto}path{fill:none;stroke:var(--muted);stroke-width:1.5}
.up{stroke:var(--up)}.down{stroke:var(--down)}.muted{color:var(--muted)}
.text{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
mark{background:light-dark(#ffe58a,#6b5600);color:inherit}article{border-top:1px solid var(--line);margin-top:1rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.1rem .8rem .1rem 0}`;

/**
 * Write a page that shows the comparison without a server, a script or a request. Every text
 * is escaped, and the page's own policy forbids scripts, should a browser see one anyway.
 */
export function toHtml(view: OfflineView): string {
  const last = view.columns.at(-1)?.places ?? [];
  const stages = Object.entries(view.timings).map(
    ([stage, ms]) => `<tr><th>${escape(stage)}</th><td>${milliseconds(ms)}</td></tr>`,
  );
  const notes = [view.reason, ...view.warnings].filter((note) => note !== null);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(view.query)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1><bdi>${escape(view.query)}</bdi></h1>
<p class="muted">${escape(view.index)}, ${escape(view.date)}, secondpass ${escape(view.version)}.
Status: ${escape(view.status)}.${notes.map((note) => ` ${escape(note)}`).join("")}</p>
<div class="columns">${columns(view)}</div>
<h2>Texts</h2>
${last.slice(0, ROWS).map(article).join("\n")}
<h2>Time</h2>
<table>${stages.join("")}</table>
<h2>Settings</h2>
<pre>${escape(JSON.stringify(view.configurations, null, 2))}</pre>
</body>
</html>
`;
}

function columns(view: OfflineView): string {
  return view.columns
    .map((column, position) => {
      const left = view.columns[position - 1];
      return (left ? chart(left.places, column.places) : "") + list(column, view.topK);
    })
    .join("");
}

function list(column: Column, topK: number): string {
  const rows = column.places.slice(0, ROWS).map(({ rank, key, result }, row) => {
    const score =
      !column.first && result.probability !== null ? ` ${percent(result.probability)}` : "";
    const text = (result.document?.text ?? "").slice(0, 90);
    const shown = `<strong>${rank ?? "–"}</strong>${score} <bdi>${escape(result.document?.title ?? key)}</bdi>`;
    return `<li${row >= topK ? ' class="muted"' : ""}>${shown}<br><bdi class="muted">${escape(text)}</bdi></li>`;
  });
  return `<ol aria-label="${escape(column.title)}"><li><strong>${escape(column.title)}</strong><br>
<span class="muted">${escape(column.subtitle)}</span></li>${rows.join("")}</ol>`;
}

function chart(left: Place[], right: Place[]): string {
  const rows = Math.min(ROWS, Math.max(left.length, right.length));
  const paths = slopes(left, right, rows).map(({ from, to, fromRank, toRank }) => {
    const [y, z] = [ROW * (from + 1.5), ROW * (to + 1.5)];
    const rose = toRank !== null && (fromRank === null || toRank < fromRank);
    const fell = toRank === null || (fromRank !== null && toRank > fromRank);
    const kind = rose ? "up" : fell ? "down" : "same";
    return `<path class="${kind}" d="M0 ${y}C50 ${y} 50 ${z} 100 ${z}"/>`;
  });
  const height = ROW * (rows + 1);
  return `<svg viewBox="0 0 100 ${height}" width="100" height="${height}" preserveAspectRatio="none" aria-hidden="true">${paths.join("")}</svg>`;
}

function article({ rank, key, result }: Place): string {
  const text = pieces(result.document?.text ?? "", result.spans).map((piece) =>
    piece.marked ? `<mark>${escape(piece.text)}</mark>` : escape(piece.text),
  );
  const { rank: first, bm25, vector } = result.first_stage;
  const scores = [
    `first pass: rank ${first}`,
    ...(bm25 === null ? [] : [`BM25 ${decimal(bm25)}`]),
    ...(vector === null ? [] : [`cosine ${decimal(vector, 3)}`]),
    ...(result.probability === null ? [] : [`probability ${percent(result.probability)}`]),
    `${result.score_kind} ${decimal(result.score, 3)}`,
    ...(result.unread > 0 ? [`${result.unread} characters not read`] : []),
  ];
  return `<article><h3>${rank ?? "–"}. <bdi>${escape(result.document?.title ?? key)}</bdi></h3>
<p class="muted"><bdi>${escape(key)}</bdi>: ${escape(scores.join(", "))}</p>
<p class="text" dir="auto">${text.join("")}</p></article>`;
}

export function escape(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
