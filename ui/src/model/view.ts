import type { Json, Options } from "../api/types";

export const TABS = ["search", "paste", "queries", "answer", "indexes"] as const;
export type Tab = (typeof TABS)[number];
export const MAX_CONFIGURATIONS = 4;

/** Everything that a link to the page reproduces. */
export interface View {
  tab: Tab;
  query: string;
  /** Name of the index; empty for the server's default. */
  index: string;
  /** Number of results that count as found: the top k. */
  topK: number;
  /** Results with a lower probability are no answers; 0 turns this off. */
  minProbability: number;
  /** Milliseconds that a search may take. */
  targetMs: number;
  /** Id of the passage whose text is shown; empty for the first result. */
  selected: string;
  /** Options of each configuration that differ from the defaults, 1 to 4 of them. */
  configurations: Options[];
}

export const DEFAULT_VIEW: View = {
  tab: "search",
  query: "",
  index: "",
  topK: 5,
  // The default of answers, too.
  minProbability: 0.03,
  targetMs: 300,
  selected: "",
  configurations: [{}],
};

/** Write a view as the fragment of an address, without what is as usual. */
export function writeView(view: View): string {
  const fields = new URLSearchParams();
  if (view.tab !== DEFAULT_VIEW.tab) fields.set("tab", view.tab);
  if (view.query !== "") fields.set("q", view.query);
  if (view.index !== "") fields.set("index", view.index);
  if (view.topK !== DEFAULT_VIEW.topK) fields.set("k", String(view.topK));
  if (view.minProbability !== DEFAULT_VIEW.minProbability)
    fields.set("min", String(view.minProbability));
  if (view.targetMs !== DEFAULT_VIEW.targetMs) fields.set("target", String(view.targetMs));
  if (view.selected !== "") fields.set("passage", view.selected);
  if (view.configurations.length > 1)
    fields.set("configs", String(view.configurations.length));
  view.configurations.forEach((options, number) => {
    for (const [name, value] of Object.entries(options)) {
      fields.set(`${letter(number)}.${name}`, writeValue(value));
    }
  });
  return fields.toString();
}

/** Read the fragment of an address; what cannot be read is as usual. */
export function readView(fragment: string): View {
  const fields = new URLSearchParams(fragment.replace(/^#/, ""));
  const tab = fields.get("tab") as Tab | null;
  const count = clamp(Math.round(number(fields.get("configs"), 1)), 1, MAX_CONFIGURATIONS);
  const configurations: Options[] = Array.from({ length: count }, () => ({}));
  for (const [name, value] of fields) {
    const match = /^([a-d])\.(\w+)$/.exec(name);
    const options = match && configurations["abcd".indexOf(match[1] ?? "")];
    if (match?.[2] !== undefined && options) options[match[2]] = readValue(value);
  }
  return {
    tab: tab !== null && TABS.includes(tab) ? tab : DEFAULT_VIEW.tab,
    query: fields.get("q") ?? "",
    index: fields.get("index") ?? "",
    topK: clamp(Math.round(number(fields.get("k"), DEFAULT_VIEW.topK)), 1, 100),
    minProbability: clamp(number(fields.get("min"), DEFAULT_VIEW.minProbability), 0, 1),
    targetMs: clamp(number(fields.get("target"), DEFAULT_VIEW.targetMs), 1, 60_000),
    selected: fields.get("passage") ?? "",
    configurations,
  };
}

/** Name a configuration by its position: A, B, C, D. */
export function configurationName(position: number): string {
  return letter(position).toUpperCase();
}

function letter(position: number): string {
  return "abcd".charAt(position);
}

// Texts stand as they are, so that links can be read; those that could be taken for
// another value are quoted.
function writeValue(value: Json): string {
  if (typeof value === "string" && readValue(value) === value) return value;
  return JSON.stringify(value);
}

function readValue(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

function number(text: string | null, absent: number): number {
  const value = text === null || text.trim() === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : absent;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
