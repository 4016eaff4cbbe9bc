/** Texts that are pasted or dropped, as documents of a rerank request. */
export interface PastedText {
  text: string;
  id?: string;
  title?: string;
}

const TEXT_FIELDS = ["text", "body", "content", "contents", "passage", "document"];
const ID_FIELDS = ["id", "_id", "doc_id"];

/**
 * Read pasted texts: lines of JSON, a JSON list, or plain text in which an empty line stands
 * between two texts.
 */
export function readPasted(input: string): PastedText[] {
  const trimmed = input.trim();
  if (trimmed === "") return [];
  return readJson(trimmed) ?? readPlain(trimmed);
}

/** Read a file by the ending of its name. */
export function readDropped(name: string, content: string): PastedText[] {
  const ending = name.toLowerCase().split(".").at(-1);
  if (ending === "csv") return readTable(content, ",");
  if (ending === "tsv") return readTable(content, "\t");
  return readPasted(content.replace(/^\uFEFF/, ""));
}

function readPlain(input: string): PastedText[] {
  const texts = input.split(/\r?\n[ \t]*(?:\r?\n[ \t]*)+/).map((text) => text.trim());
  return texts.filter((text) => text !== "").map((text) => ({ text }));
}

function readJson(input: string): PastedText[] | null {
  try {
    const value: unknown = JSON.parse(input);
    if (Array.isArray(value)) return all(value);
  } catch {
    // It may still be lines of JSON.
  }
  try {
    const lines = input.split(/\r?\n/).filter((line) => line.trim() !== "");
    return all(lines.map((line) => JSON.parse(line) as unknown));
  } catch {
    return null;
  }
}

// Null unless every value is a text or has one: half of a list would be a silent loss.
function all(values: unknown[]): PastedText[] | null {
  const texts = values.map(one);
  return texts.every((text) => text !== null) ? texts : null;
}

function one(value: unknown): PastedText | null {
  if (typeof value === "string") return value.trim() === "" ? null : { text: value };
  if (typeof value !== "object" || value === null) return null;
  const record = value as Record<string, unknown>;
  const read = (names: string[]) => {
    const found = names.map((name) => record[name]).find((one) => one !== undefined);
    return typeof found === "string" || typeof found === "number" ? String(found) : undefined;
  };
  const text = read(TEXT_FIELDS);
  if (text === undefined || text.trim() === "") return null;
  const [id, title] = [read(ID_FIELDS), read(["title"])];
  return {
    text,
    ...(id === undefined ? {} : { id }),
    ...(title === undefined ? {} : { title }),
  };
}

function readTable(content: string, separator: string): PastedText[] {
  const [header = [], ...rows] = parseTable(content.replace(/^\uFEFF/, ""), separator);
  const names = header.map((name) => name.trim().toLowerCase());
  const column = names.findIndex((name) => TEXT_FIELDS.includes(name));
  if (column < 0) {
    // Without a column of that name every row is a text, the first one too.
    return [header, ...rows].map((row) => ({ text: row.join(" ").trim() })).filter(hasText);
  }
  const records = rows.map((row) => Object.fromEntries(names.map((n, i) => [n, row[i]])));
  return records.map(one).filter((text) => text !== null);
}

function hasText(text: PastedText): boolean {
  return text.text !== "";
}

/** Split a table into cells, with quotes as in RFC 4180. */
export function parseTable(content: string, separator: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = "";
  let quoted = false;
  const endCell = () => {
    row.push(cell);
    cell = "";
  };
  const endRow = () => {
    endCell();
    if (row.some((one) => one !== "")) rows.push(row);
    row = [];
  };
  for (let at = 0; at < content.length; at++) {
    const char = content.charAt(at);
    if (quoted) {
      if (char !== '"') cell += char;
      else if (content.charAt(at + 1) === '"') cell += content.charAt(at++);
      else quoted = false;
    } else if (char === '"' && cell === "") quoted = true;
    else if (char === separator) endCell();
    else if (char === "\n") endRow();
    else if (char !== "\r") cell += char;
  }
  endRow();
  return rows;
}
