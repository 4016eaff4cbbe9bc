// Indexes: listing, creating, filling and deleting them.

import { InputError, SecondpassError, UploadError } from "./errors.js";
import { queryString, segment, type CallOptions, type Transport } from "./transport.js";
import type { OnSent } from "./upload.js";
import type {
  Deleted,
  DocumentBody,
  IndexAbout,
  IndexBody,
  Stored,
  StoredFile,
  VersionAbout,
} from "./types.js";

const MAX_BATCH = 100;
// In UTF-16 units, so that no text is encoded twice: below the 20 MB that a server accepts by
// default, in any script.
const MAX_BATCH_LENGTH = 1_000_000;
const UPLOAD_TIMEOUT_MS = 300_000;

/** How far an upload is. */
export interface UploadProgress {
  /** How many documents the server has. */
  sent: number;
  /** How many there are, where that is known before the end. */
  total: number | undefined;
  /** What became of those that were sent. */
  stored: Stored;
}

/** How documents are uploaded. */
export interface UploadOptions extends CallOptions {
  /** Documents of one request; 100 if absent. Long ones make it fewer. */
  batchSize?: number;
  onProgress?: (progress: UploadProgress) => void;
}

/** The content of a file. */
export type FileContent = Blob | string | ArrayBuffer | Uint8Array;

/** How a file is uploaded. */
export interface FileOptions extends CallOptions {
  /**
   * Called with the bytes that were sent and their number in all: as they go where the runtime
   * says so (browsers), else once, when the server has the file.
   */
  onSent?: OnSent | undefined;
}

/** What became of one file: what was stored, or why it cannot be read. */
export type FileOutcome =
  | { filename: string; stored: StoredFile; error?: never }
  | { filename: string; error: InputError; stored?: never };

/** How far an upload of files is, with the outcome of the last one. */
export interface FileProgress {
  sent: number;
  total: number;
  outcome: FileOutcome;
}

/** The indexes of a server that the caller's key can see. */
export class Indexes {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** List the indexes. */
  async list(call?: CallOptions): Promise<IndexAbout[]> {
    const request = { method: "GET", path: "/api/v1/indexes", repeatable: true } as const;
    const found = await this.#transport.json<{ indexes: IndexAbout[] }>(request, call);
    return found.indexes;
  }

  /** Return one index; rejects with NotFoundError where there is none. */
  async get(name: string, call?: CallOptions): Promise<IndexAbout> {
    return this.#transport.json(
      { method: "GET", path: indexPath(name), repeatable: true },
      call,
    );
  }

  /** Create an index; rejects with ConflictError where there is one of that name. */
  async create(body: IndexBody, call?: CallOptions): Promise<IndexAbout> {
    const path = "/api/v1/indexes";
    // Sent twice, it would fail with a conflict although it was created.
    return this.#transport.json({ method: "POST", path, json: body, repeatable: false }, call);
  }

  /** Delete an index with everything in it. */
  async delete(name: string, call?: CallOptions): Promise<IndexAbout> {
    return this.#transport.json(
      { method: "DELETE", path: indexPath(name), repeatable: false },
      call,
    );
  }

  /**
   * Store documents, in as many requests as they need; those with the ids of stored ones
   * replace them. `timeoutMs` is that of one request, 300,000 if absent.
   *
   * Rejects with UploadError where a request fails after others succeeded.
   */
  async addDocuments(
    name: string,
    documents: Iterable<DocumentBody> | AsyncIterable<DocumentBody>,
    options: UploadOptions = {},
  ): Promise<Stored> {
    const { batchSize = MAX_BATCH, onProgress, ...given } = options;
    const call = { timeoutMs: UPLOAD_TIMEOUT_MS, ...given };
    const path = `${indexPath(name)}/documents`;
    const total = Array.isArray(documents) ? documents.length : undefined;
    const stored: Stored = { added: 0, updated: 0, unchanged: 0, empty: 0, passages: 0 };
    let sent = 0;
    for await (const batch of batches(documents, batchSize)) {
      const json = { documents: batch };
      try {
        const request = { method: "POST", path, json, repeatable: true } as const;
        add(stored, await this.#transport.json<Stored>(request, call));
      } catch (error) {
        if (sent === 0 || !(error instanceof SecondpassError)) throw error;
        throw unfinished(error, sent, stored);
      }
      sent += batch.length;
      onProgress?.({ sent, total, stored: { ...stored } });
    }
    return stored;
  }

  /**
   * Read a file on the server and store its documents; the server's capabilities have the
   * types that it reads. `timeoutMs` is 300,000 if absent.
   */
  async addFile(
    name: string,
    filename: string,
    content: FileContent,
    options: FileOptions = {},
  ): Promise<StoredFile> {
    const { onSent, ...call } = options;
    const path = `${indexPath(name)}/files${queryString({ filename })}`;
    const contentType = "application/octet-stream";
    const body = content as BodyInit;
    return this.#transport.json(
      { method: "POST", path, body, contentType, onSent, repeatable: true },
      { timeoutMs: UPLOAD_TIMEOUT_MS, ...call },
    );
  }

  /**
   * Store files one after the other. A file that cannot be read is an outcome with an error,
   * and the others are stored; rejects where the server fails or is not reached.
   */
  async addFiles(
    name: string,
    files: Iterable<File>,
    options: CallOptions & { onProgress?: (progress: FileProgress) => void } = {},
  ): Promise<FileOutcome[]> {
    const { onProgress, ...call } = options;
    const all = [...files];
    const outcomes: FileOutcome[] = [];
    for (const file of all) {
      let outcome: FileOutcome;
      try {
        const stored = await this.addFile(name, file.name, file, call);
        outcome = { filename: file.name, stored };
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        outcome = { filename: file.name, error };
      }
      outcomes.push(outcome);
      onProgress?.({ sent: outcomes.length, total: all.length, outcome });
    }
    return outcomes;
  }

  /** List the states of an index that a search can name as its `version`, oldest first. */
  async versions(name: string, call?: CallOptions): Promise<VersionAbout[]> {
    const path = `${indexPath(name)}/versions`;
    const request = { method: "GET", path, repeatable: true } as const;
    const found = await this.#transport.json<{ versions: VersionAbout[] }>(request, call);
    return found.versions;
  }

  /** Delete documents by id; ids that are not there do not count. */
  async deleteDocuments(
    name: string,
    ids: readonly string[],
    call?: CallOptions,
  ): Promise<Deleted> {
    const path = `${indexPath(name)}/documents${queryString({ id: ids })}`;
    return this.#transport.json({ method: "DELETE", path, repeatable: false }, call);
  }
}

/** Return the path of an index. */
export function indexPath(name: string): string {
  return `/api/v1/indexes/${segment(name)}`;
}

async function* batches(
  documents: Iterable<DocumentBody> | AsyncIterable<DocumentBody>,
  size: number,
): AsyncGenerator<DocumentBody[], void, undefined> {
  let batch: DocumentBody[] = [];
  let length = 0;
  for await (const document of documents) {
    const more = document.text.length;
    if (batch.length > 0 && (batch.length >= size || length + more > MAX_BATCH_LENGTH)) {
      yield batch;
      batch = [];
      length = 0;
    }
    batch.push(document);
    length += more;
  }
  if (batch.length > 0) yield batch;
}

function add(stored: Stored, more: Stored): void {
  stored.added += more.added;
  stored.updated += more.updated;
  stored.unchanged += more.unchanged;
  stored.empty += more.empty;
  stored.passages += more.passages;
}

function unfinished(error: SecondpassError, sent: number, stored: Stored): UploadError {
  const parts = {
    what: `the upload ended after ${sent} documents`,
    where: error.where,
    why: error.message,
    fix: "Send all of them again: those that are stored are recognized.",
    status: error.status,
    kind: error.kind,
    requestId: error.requestId,
    cause: error,
  };
  return new UploadError(parts, stored);
}
