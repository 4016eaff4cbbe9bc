// The files of an instance.

import type { CallOptions } from "../transport.js";
import { name, type AiSearchApi } from "./api.js";
import type {
  AiSearchItemChunk,
  AiSearchItemChunksParams,
  AiSearchItemChunksResponse,
  AiSearchItemContentResult,
  AiSearchItemInfo,
  AiSearchItemLogsParams,
  AiSearchItemLogsResponse,
  AiSearchListItemsParams,
  AiSearchListItemsResponse,
  AiSearchPollOptions,
  AiSearchUploadItemOptions,
} from "./types.js";

/** What can be uploaded. */
export type AiSearchContent = ReadableStream | Blob | string | ArrayBuffer | Uint8Array;

const FINAL: ReadonlySet<string> = new Set(["completed", "error", "skipped"]);

/** One file. */
export class AiSearchItem {
  readonly #api: AiSearchApi;
  readonly #path: string;

  constructor(api: AiSearchApi, path: string) {
    this.#api = api;
    this.#path = path;
  }

  /** Return what is known of the file. */
  async info(call?: CallOptions): Promise<AiSearchItemInfo> {
    return this.#api.result("GET", this.#path, undefined, call);
  }

  /** Index the file again. */
  async sync(call?: CallOptions): Promise<AiSearchItemInfo> {
    return this.#api.result("PATCH", this.#path, { next_action: "INDEX" }, call);
  }

  /** Return a page of the log of its indexing. */
  async logs(
    params?: AiSearchItemLogsParams,
    call?: CallOptions,
  ): Promise<AiSearchItemLogsResponse> {
    return this.#api.page(`${this.#path}/logs`, params, call);
  }

  /** Return a page of its chunks. */
  async chunks(
    params?: AiSearchItemChunksParams,
    call?: CallOptions,
  ): Promise<AiSearchItemChunksResponse> {
    type Page = Omit<AiSearchItemChunksResponse, "result"> & {
      result: (Partial<AiSearchItemChunk> & { id: string; text: string })[];
    };
    const page = await this.#api.page<Page>(`${this.#path}/chunks`, params, call);
    const result = page.result.map((chunk) => ({ start_byte: NaN, end_byte: NaN, ...chunk }));
    return { ...page, result };
  }

  /** Return the file as it was uploaded. */
  async download(call?: CallOptions): Promise<AiSearchItemContentResult> {
    const [info, response] = await Promise.all([
      this.info(call),
      this.#api.open("GET", `${this.#path}/download`, undefined, call),
    ]);
    const { body, headers } = response;
    return {
      body: body ?? new ReadableStream({ start: (empty) => empty.close() }),
      contentType: headers.get("content-type") ?? "application/octet-stream",
      filename: info.key,
      size: info.file_size ?? Number(headers.get("content-length")),
    };
  }
}

/** All files of an instance. */
export class AiSearchItems {
  readonly #api: AiSearchApi;
  readonly #path: string;

  constructor(api: AiSearchApi, path: string) {
    this.#api = api;
    this.#path = path;
  }

  /** Return a page of the files. */
  async list(
    params?: AiSearchListItemsParams,
    call?: CallOptions,
  ): Promise<AiSearchListItemsResponse> {
    return this.#api.page(this.#path, params, call);
  }

  /** Return a file by its id, without asking whether it is there. */
  get(itemId: string): AiSearchItem {
    return new AiSearchItem(this.#api, `${this.#path}/${name(itemId)}`);
  }

  /** Delete a file. */
  async delete(itemId: string, call?: CallOptions): Promise<void> {
    await this.#api.result("DELETE", `${this.#path}/${name(itemId)}`, undefined, call);
  }

  /** Upload a file, which replaces one of the same name; it is indexed afterwards. */
  async upload(
    filename: string,
    content: AiSearchContent,
    options: AiSearchUploadItemOptions = {},
    call?: CallOptions,
  ): Promise<AiSearchItemInfo> {
    const form = new FormData();
    form.append("file", await new Response(content as BodyInit).blob(), filename);
    if (options.metadata) form.append("metadata", JSON.stringify(options.metadata));
    return this.#api.result("POST", this.#path, form, call);
  }

  /** Upload a file and wait until it can be searched, failed, or the time is over. */
  async uploadAndPoll(
    filename: string,
    content: AiSearchContent,
    options: AiSearchPollOptions = {},
    call?: CallOptions,
  ): Promise<AiSearchItemInfo> {
    const { pollIntervalMs = 1000, timeoutMs = 30_000 } = options;
    const end = Date.now() + timeoutMs;
    let info = await this.upload(filename, content, options, call);
    while (!FINAL.has(info.status) && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, pollIntervalMs));
      info = await this.get(info.id).info(call);
    }
    return info;
  }
}
