// The indexing jobs of an instance.

import type { CallOptions } from "../transport.js";
import { name, type AiSearchApi } from "./api.js";
import type {
  AiSearchCreateJobParams,
  AiSearchJobInfo,
  AiSearchJobLogsResponse,
  AiSearchListJobsResponse,
  AiSearchPageParams,
} from "./types.js";

/** One job. */
export class AiSearchJob {
  readonly #api: AiSearchApi;
  readonly #path: string;

  constructor(api: AiSearchApi, path: string) {
    this.#api = api;
    this.#path = path;
  }

  /** Return how far the job is. */
  async info(call?: CallOptions): Promise<AiSearchJobInfo> {
    return this.#api.result("GET", this.#path, undefined, call);
  }

  /** Return a page of its log. */
  async logs(
    params?: AiSearchPageParams,
    call?: CallOptions,
  ): Promise<AiSearchJobLogsResponse> {
    return this.#api.page(`${this.#path}/logs`, params, call);
  }

  /** Cancel the job. */
  async cancel(call?: CallOptions): Promise<AiSearchJobInfo> {
    return this.#api.result("PATCH", this.#path, { action: "cancel" }, call);
  }
}

/** All jobs of an instance. */
export class AiSearchJobs {
  readonly #api: AiSearchApi;
  readonly #path: string;

  constructor(api: AiSearchApi, path: string) {
    this.#api = api;
    this.#path = path;
  }

  /** Return a page of the jobs. */
  async list(
    params?: AiSearchPageParams,
    call?: CallOptions,
  ): Promise<AiSearchListJobsResponse> {
    return this.#api.page(this.#path, params, call);
  }

  /** Start a job, which indexes failed and outdated files again. */
  async create(
    params: AiSearchCreateJobParams = {},
    call?: CallOptions,
  ): Promise<AiSearchJobInfo> {
    return this.#api.result("POST", this.#path, params, call);
  }

  /** Return a job by its id, without asking whether it is there. */
  get(jobId: string): AiSearchJob {
    return new AiSearchJob(this.#api, `${this.#path}/${name(jobId)}`);
  }
}
