import type {
  Answer,
  Capabilities,
  ComparisonEvent,
  Document,
  Explanation,
  FileStored,
  Grades,
  IndexAbout,
  IndexVersion,
  Json,
  Options,
  QuerySet,
  QuerySetAbout,
  Ranking,
} from "./types";

/** A response of the server that says why there is none of the usual kind. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly why: string | null,
    readonly fix: string | null,
    readonly id: string | null,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** Requests to the native API of the server that this page came from. */
export class Client {
  constructor(
    private readonly key: () => string | null,
    private readonly base = "/api/v1",
  ) {}

  capabilities(): Promise<Capabilities> {
    return this.send("GET", "/capabilities");
  }

  async indexes(): Promise<IndexAbout[]> {
    const body = await this.send<{ indexes: IndexAbout[] }>("GET", "/indexes");
    return body.indexes;
  }

  createIndex(name: string, language: string): Promise<IndexAbout> {
    return this.send("POST", "/indexes", { name, language });
  }

  deleteIndex(name: string): Promise<IndexAbout> {
    return this.send("DELETE", index(name));
  }

  async versions(name: string): Promise<IndexVersion[]> {
    const body = await this.send<{ versions: IndexVersion[] }>(
      "GET",
      `${index(name)}/versions`,
    );
    return body.versions;
  }

  search(
    name: string,
    query: string,
    options: Options,
    signal?: AbortSignal,
  ): Promise<Ranking> {
    return this.send("POST", `${index(name)}/search`, { query, ...options }, signal);
  }

  rerank(
    query: string,
    documents: (string | Partial<Document>)[],
    options: Options,
    signal?: AbortSignal,
  ): Promise<Ranking> {
    const body = { query, documents: documents as Json, return_documents: true, ...options };
    return this.send("POST", "/rerank", body, signal);
  }

  answer(
    name: string,
    query: string,
    options: Options,
    signal?: AbortSignal,
  ): Promise<Answer> {
    return this.send("POST", `${index(name)}/answer`, { query, ...options }, signal);
  }

  /** Explain a document of an index, or one that is given where `name` is null. */
  explain(name: string | null, body: Options, signal?: AbortSignal): Promise<Explanation> {
    return this.send("POST", `${name === null ? "" : index(name)}/explain`, body, signal);
  }

  async querySets(name: string): Promise<QuerySetAbout[]> {
    const path = `${index(name)}/query-sets`;
    return (await this.send<{ query_sets: QuerySetAbout[] }>("GET", path)).query_sets;
  }

  querySet(name: string, set: string): Promise<QuerySet> {
    return this.send("GET", querySet(name, set));
  }

  judge(
    name: string,
    set: string,
    query: string,
    grades: Record<string, number | null>,
  ): Promise<{ id: string; text: string; grades: Grades }> {
    return this.send("POST", `${querySet(name, set)}/judgments`, { query, grades });
  }

  /** The address of the judgments of a set, as a file in TREC's format. */
  qrelsAddress(name: string, set: string): string {
    return `${this.base}${querySet(name, set)}/qrels?format=trec`;
  }

  /** Compare two sets of options over a query set, event by event. */
  async *compare(
    name: string,
    set: string,
    body: { before: Options; after: Options; measure: string },
    signal: AbortSignal,
  ): AsyncGenerator<ComparisonEvent> {
    const response = await this.fetch(
      "POST",
      `${querySet(name, set)}/comparison`,
      body,
      signal,
    );
    for await (const [event, data] of serverEvents(response)) {
      yield { event, data: JSON.parse(data) } as ComparisonEvent;
    }
  }

  /** Store a file in an index; `progress` gets the share of it that was sent, 0 to 1. */
  upload(name: string, file: File, progress: (share: number) => void): Promise<FileStored> {
    // fetch() has no upload progress.
    const request = new XMLHttpRequest();
    request.open(
      "POST",
      `${this.base}${index(name)}/files?filename=${encodeURIComponent(file.name)}`,
    );
    for (const [header, value] of Object.entries(this.headers())) {
      request.setRequestHeader(header, value);
    }
    request.setRequestHeader("Content-Type", "application/octet-stream");
    return new Promise((resolve, reject) => {
      request.upload.onprogress = (event) =>
        progress(event.total ? event.loaded / event.total : 0);
      request.onerror = () => reject(unreachable());
      request.onload = () => {
        if (request.status < 300) resolve(JSON.parse(request.responseText) as FileStored);
        else reject(failure(request.status, request.responseText));
      };
      request.send(file);
    });
  }

  private headers(): Record<string, string> {
    const key = this.key();
    return key === null ? {} : { Authorization: `Bearer ${key}` };
  }

  private async send<T>(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<T> {
    const response = await this.fetch(method, path, body, signal);
    return (await response.json()) as T;
  }

  private async fetch(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<Response> {
    const request: RequestInit = { method, headers: this.headers(), signal: signal ?? null };
    if (body !== undefined) {
      request.headers = { ...this.headers(), "Content-Type": "application/json" };
      request.body = JSON.stringify(body);
    }
    let response: Response;
    try {
      response = await fetch(this.base + path, request);
    } catch (error) {
      throw signal?.aborted ? error : unreachable();
    }
    if (!response.ok) throw failure(response.status, await response.text());
    return response;
  }
}

function index(name: string): string {
  return `/indexes/${encodeURIComponent(name)}`;
}

function querySet(name: string, set: string): string {
  return `${index(name)}/query-sets/${encodeURIComponent(set)}`;
}

function unreachable(): ApiError {
  return new ApiError(
    0,
    "The server does not answer.",
    "It was stopped, or the network to it is down.",
    "Start it again (secondpass ui) and reload this page.",
    null,
  );
}

function failure(status: number, text: string): ApiError {
  let body: Record<string, unknown> = {};
  try {
    body = JSON.parse(text) as Record<string, unknown>;
  } catch {
    // A proxy in between may answer with something else than JSON.
  }
  const read = (name: string) => (typeof body[name] === "string" ? body[name] : null);
  const message = read("message") ?? `The server answered with status ${status}.`;
  return new ApiError(status, message, read("why"), read("fix"), read("id"));
}

/** Read a stream of server-sent events as pairs of name and data. */
export async function* serverEvents(response: Response): AsyncGenerator<[string, string]> {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      buffer += (value ?? "").replaceAll("\r\n", "\n");
      for (;;) {
        const end = buffer.indexOf("\n\n");
        if (end < 0) break;
        const block = parseEvent(buffer.slice(0, end));
        buffer = buffer.slice(end + 2);
        if (block !== null) yield block;
      }
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function parseEvent(block: string): [string, string] | null {
  let name = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? [name, data.join("\n")] : null;
}
