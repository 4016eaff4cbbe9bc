import type { Json, Model, Option, Options, Schema } from "../api/types";

/** Options that the page sets itself. */
const OWN = new Set(["top_k", "return_documents", "spans", "min_probability"]);

/** Options that are shown first, in this order; the others are under "more". */
const COMMON = [
  "mode",
  "fusion",
  "weights",
  "candidates",
  "rerank",
  "blend",
  "cascade",
  "early_exit_at",
  "filter",
  "group_by",
  "budget_ms",
];

export const LABELS: Record<string, string> = {
  mode: "First pass",
  fusion: "Fusion",
  weights: "Weights: keywords, vectors",
  candidates: "Depth: candidates",
  rerank: "Second pass: model",
  blend: "Blend with the first pass",
  cascade: "Cascade",
  early_exit_at: "Early exit: read what can be among the first",
  filter: "Filter",
  group_by: "Group by",
  budget_ms: "Budget of the second pass, ms",
};

/** Whether the model of a search says which sentences answer; one that is not known does. */
export function givesSpans(options: Options, models: Model[]): boolean {
  if (options.rerank === false) return false;
  const named = models.find((model) => model.name === options.rerank);
  return (named ?? models[0])?.gives_spans ?? true;
}

export interface Controls {
  common: Option[];
  more: Option[];
}

export function controls(options: Option[]): Controls {
  const byName = new Map(options.map((option) => [option.name, option]));
  const common = COMMON.flatMap((name) => byName.get(name) ?? []);
  const shown = new Set([...COMMON, ...OWN]);
  return { common, more: options.filter((option) => !shown.has(option.name)) };
}

export function label(option: Option): string {
  return LABELS[option.name] ?? option.name.replaceAll("_", " ");
}

/** What kind of field edits an option. */
export type Field =
  | { kind: "choice"; values: string[] }
  | { kind: "flag" }
  | { kind: "number"; minimum: number | null; maximum: number | null; whole: boolean }
  | { kind: "lines" }
  | { kind: "json" }
  | { kind: "text" };

export function fieldOf(option: Option): Field {
  const schema = option.schema;
  const types = typesOf(schema);
  if (schema.enum !== undefined) return { kind: "choice", values: schema.enum.map(String) };
  if (types.has("object")) return { kind: "json" };
  if (types.has("boolean")) return { kind: "flag" };
  if (types.has("integer") || types.has("number")) {
    return {
      kind: "number",
      minimum: schema.minimum ?? schema.exclusiveMinimum ?? null,
      maximum: schema.maximum ?? null,
      whole: types.has("integer"),
    };
  }
  if (types.has("array")) {
    return typesOf(schema.items ?? {}).has("string") ? { kind: "lines" } : { kind: "json" };
  }
  return { kind: "text" };
}

function typesOf(schema: Schema): Set<string> {
  const inner = (schema.anyOf ?? []).flatMap((one) => [...typesOf(one)]);
  return new Set([schema.type ?? [], inner].flat());
}

/** Set an option, or leave it out where the value is the default. */
export function withOption(options: Options, option: Option, value: Json): Options {
  const rest = Object.fromEntries(Object.entries(options).filter(([n]) => n !== option.name));
  const same = value === null || JSON.stringify(value) === JSON.stringify(option.default);
  return same ? rest : { ...rest, [option.name]: value };
}

/** Write what differs from the defaults, for a line above closed controls. */
export function describe(options: Options): string[] {
  return Object.entries(options).map(([name, value]) => {
    const label = (LABELS[name] ?? name.replaceAll("_", " ")).toLowerCase();
    if (value === false) return `${label}: off`;
    if (value === true) return `${label}: on`;
    return `${label}: ${typeof value === "string" ? value : JSON.stringify(value)}`;
  });
}
