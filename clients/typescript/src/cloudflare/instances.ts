// Instances of AI Search, one by one and all of a namespace.

import type { CallOptions } from "../transport.js";
import { name, type AiSearchApi } from "./api.js";
import { AiSearchItems } from "./items.js";
import { AiSearchJobs } from "./jobs.js";
import type {
  AiSearchChatCompletionsRequest,
  AiSearchChatCompletionsResponse,
  AiSearchConfig,
  AiSearchInstanceInfo,
  AiSearchListInstancesParams,
  AiSearchListResponse,
  AiSearchMultiChatCompletionsRequest,
  AiSearchMultiChatCompletionsResponse,
  AiSearchMultiSearchRequest,
  AiSearchMultiSearchResponse,
  AiSearchSearchRequest,
  AiSearchSearchResponse,
  AiSearchStatsResponse,
} from "./types.js";

/** One instance: what the binding `ai_search` is. */
export class AiSearchInstance {
  readonly #api: AiSearchApi;
  readonly #path: string;

  constructor(api: AiSearchApi, instance: string) {
    this.#api = api;
    this.#path = `/instances/${name(instance)}`;
  }

  /** Find chunks for a query, or for the last message of a conversation. */
  async search(
    params: AiSearchSearchRequest,
    call?: CallOptions,
  ): Promise<AiSearchSearchResponse> {
    return this.#api.result("POST", `${this.#path}/search`, params, call);
  }

  /** Answer a conversation; with `stream`, as the bytes of server-sent events. */
  async chatCompletions(
    params: AiSearchChatCompletionsRequest & { stream: true },
    call?: CallOptions,
  ): Promise<ReadableStream>;
  async chatCompletions(
    params: AiSearchChatCompletionsRequest,
    call?: CallOptions,
  ): Promise<AiSearchChatCompletionsResponse>;
  async chatCompletions(
    params: AiSearchChatCompletionsRequest,
    call?: CallOptions,
  ): Promise<AiSearchChatCompletionsResponse | ReadableStream> {
    return this.#api.chat(this.#path, params, call);
  }

  /** Change settings; those that are absent stay. */
  async update(
    config: Partial<AiSearchConfig>,
    call?: CallOptions,
  ): Promise<AiSearchInstanceInfo> {
    return this.#api.result("PUT", this.#path, config, call);
  }

  /** Return the settings. */
  async info(call?: CallOptions): Promise<AiSearchInstanceInfo> {
    return this.#api.result("GET", this.#path, undefined, call);
  }

  /** Return how many files are in which state. */
  async stats(call?: CallOptions): Promise<AiSearchStatsResponse> {
    return this.#api.result("GET", `${this.#path}/stats`, undefined, call);
  }

  /** The files. */
  get items(): AiSearchItems {
    return new AiSearchItems(this.#api, `${this.#path}/items`);
  }

  /** The indexing jobs. */
  get jobs(): AiSearchJobs {
    return new AiSearchJobs(this.#api, `${this.#path}/jobs`);
  }
}

/** The instances of a namespace: what the binding `ai_search_namespaces` is. */
export class AiSearchNamespace {
  readonly #api: AiSearchApi;

  constructor(api: AiSearchApi) {
    this.#api = api;
  }

  /** Return an instance by its name, without asking whether it is there. */
  get(instance: string): AiSearchInstance {
    return new AiSearchInstance(this.#api, instance);
  }

  /** Return a page of the instances. */
  async list(
    params?: AiSearchListInstancesParams,
    call?: CallOptions,
  ): Promise<AiSearchListResponse> {
    return this.#api.page("/instances", params, call);
  }

  /** Create an instance. */
  async create(config: AiSearchConfig, call?: CallOptions): Promise<AiSearchInstance> {
    const made = await this.#api.result<AiSearchInstanceInfo>(
      "POST",
      "/instances",
      config,
      call,
    );
    return this.get(made.id);
  }

  /** Delete an instance with its files. */
  async delete(instance: string, call?: CallOptions): Promise<void> {
    await this.#api.result("DELETE", `/instances/${name(instance)}`, undefined, call);
  }

  /** Find chunks in several instances. */
  async search(
    params: AiSearchMultiSearchRequest,
    call?: CallOptions,
  ): Promise<AiSearchMultiSearchResponse> {
    return this.#api.result("POST", "/search", params, call);
  }

  /** Answer from several instances; with `stream`, as the bytes of server-sent events. */
  async chatCompletions(
    params: AiSearchMultiChatCompletionsRequest & { stream: true },
    call?: CallOptions,
  ): Promise<ReadableStream>;
  async chatCompletions(
    params: AiSearchMultiChatCompletionsRequest,
    call?: CallOptions,
  ): Promise<AiSearchMultiChatCompletionsResponse>;
  async chatCompletions(
    params: AiSearchMultiChatCompletionsRequest,
    call?: CallOptions,
  ): Promise<AiSearchMultiChatCompletionsResponse | ReadableStream> {
    return this.#api.chat("", params, call);
  }
}
