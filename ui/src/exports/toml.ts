import type { Json, Options } from "../api/types";

/** Options that belong to one query and have no place in a configuration file. */
const OF_ONE_QUERY = new Set(["return_documents", "query_variants", "like", "unlike"]);

/** Write options as the file that `secondpass search --config` reads. */
export function toToml(options: Options): string {
  const lines = ['# secondpass search "YOUR QUESTION" --config secondpass.toml', "[search]"];
  for (const [name, value] of Object.entries(options)) {
    if (value === null) continue;
    if (OF_ONE_QUERY.has(name)) lines.push(`# ${name} belongs to one query and is left out`);
    else lines.push(`${name} = ${tomlValue(value)}`);
  }
  return `${lines.join("\n")}\n`;
}

export function tomlValue(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    const inner = Object.entries(value)
      .filter(([, one]) => one !== null)
      .map(([name, one]) => `${tomlKey(name)} = ${tomlValue(one)}`);
    return inner.length > 0 ? `{ ${inner.join(", ")} }` : "{}";
  }
  if (typeof value === "number" && /e/i.test(String(value))) {
    // TOML has exponents, but not all of JavaScript's spellings.
    return String(value).replace("e+", "e");
  }
  // Texts are written as in JSON, except that TOML wants DEL escaped.
  return JSON.stringify(value).replaceAll("\u007f", "\\u007f");
}

function tomlKey(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name);
}
