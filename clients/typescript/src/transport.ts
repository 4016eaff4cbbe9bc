// Requests to a server: its address, the key, retries and time-outs.

import { Deadline } from "./deadline.js";
import { InputError, ResponseError, SecondpassError } from "./errors.js";
import { readEvents } from "./event-stream.js";
import { failureOf, streamFailure } from "./failure.js";
import type { Failure } from "./types.js";
import { canReport, sendWithProgress, sizeOf, type OnSent } from "./upload.js";

/** Where a server is, and how patient the client is. */
export interface ClientOptions {
  /** Address of the server, such as "http://127.0.0.1:8080"; a path is kept. */
  baseUrl: string;
  /** An API key, or a function that returns the present one; none for a server without keys. */
  apiKey?: string | (() => string | undefined) | undefined;
  /** Milliseconds for a call, its retries included; 60,000 if absent, 0 for no limit. */
  timeoutMs?: number | undefined;
  /** How often a call is tried again where that is safe; 2 if absent. */
  maxRetries?: number | undefined;
  /** Headers of every request. */
  headers?: Record<string, string> | undefined;
  /** The function that sends; the runtime's own if absent. */
  fetch?: typeof fetch | undefined;
}

/** What can be set for a single call. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  maxRetries?: number | undefined;
  headers?: Record<string, string | undefined> | undefined;
}

/** One request. A repeatable one does no harm if the server gets it twice. */
export interface ApiRequest {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  json?: unknown;
  body?: BodyInit | undefined;
  contentType?: string | undefined;
  /** Called with the bytes of the body that were sent, and their number in all. */
  onSent?: OnSent | undefined;
  repeatable: boolean;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_RETRIES = 2;
const FIRST_WAIT_MS = 250;
const MAX_WAIT_MS = 8_000;

/** Sends requests to one server; all clients of this package share it. */
export class Transport {
  readonly baseUrl: string;
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.baseUrl = checkUrl(options.baseUrl);
  }

  /** Return the JSON of a response. */
  async json<T>(request: ApiRequest, call: CallOptions = {}): Promise<T> {
    return this.#within(request, call, async (response) => {
      const text = await response.text();
      try {
        return JSON.parse(text) as T;
      } catch (cause) {
        throw new ResponseError({
          what: "the answer is not JSON",
          where: this.baseUrl + request.path,
          why: `it begins with ${JSON.stringify(text.slice(0, 80))}`,
          fix: "Check that baseUrl is the address of a secondpass server.",
          status: response.status,
          cause,
        });
      }
    });
  }

  /** Return the text of a response. */
  async text(request: ApiRequest, call: CallOptions = {}): Promise<string> {
    return this.#within(request, call, (response) => response.text());
  }

  /** Return a response whose body the caller reads; the time-out holds for its headers. */
  async open(request: ApiRequest, call: CallOptions = {}): Promise<Response> {
    const deadline = this.#deadline(call);
    try {
      const response = await this.#send(request, call, deadline);
      deadline.stop();
      return response;
    } catch (error) {
      deadline.close();
      throw deadline.explain(error, this.baseUrl + request.path);
    }
  }

  /**
   * Yield the events of a response up to the one of this name, with their data from JSON; the
   * time-out holds for the pause between two of them. An event "error" is thrown.
   */
  async *events(
    request: ApiRequest,
    last: string,
    call: CallOptions = {},
  ): AsyncGenerator<{ event: string; value: unknown }, void, undefined> {
    const deadline = this.#deadline(call);
    const where = this.baseUrl + request.path;
    try {
      const { body } = await this.#send(request, call, deadline);
      for await (const { event, data } of body === null ? [] : readEvents(body)) {
        deadline.restart();
        const value: unknown = JSON.parse(data);
        if (event === "error") throw streamFailure(value as Failure);
        yield { event, value };
        if (event === last) return;
      }
      throw new ResponseError({
        what: `the stream ended before its event ${JSON.stringify(last)}`,
        where,
        fix: "Ask again; a proxy in between may cut long responses.",
      });
    } catch (error) {
      throw deadline.explain(error, where);
    } finally {
      deadline.cancel();
    }
  }

  async #within<T>(
    request: ApiRequest,
    call: CallOptions,
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    const deadline = this.#deadline(call);
    try {
      return await read(await this.#send(request, call, deadline));
    } catch (error) {
      throw deadline.explain(error, this.baseUrl + request.path);
    } finally {
      deadline.close();
    }
  }

  #deadline(call: CallOptions): Deadline {
    const timeoutMs = call.timeoutMs ?? this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    return new Deadline(timeoutMs, call.signal);
  }

  async #send(request: ApiRequest, call: CallOptions, deadline: Deadline): Promise<Response> {
    const retries = call.maxRetries ?? this.#options.maxRetries ?? DEFAULT_RETRIES;
    for (let attempt = 0; ; attempt++) {
      try {
        const response = await this.#fetch(request, call, deadline.signal);
        if (response.ok) return response;
        throw await failureOf(response);
      } catch (error) {
        if (deadline.signal.aborted || attempt >= retries) throw error;
        if (!mayRetry(error, request)) throw error;
        const wait = waitMs(error, attempt);
        // The error says more than a time-out would.
        if (wait >= deadline.left) throw error;
        await deadline.sleep(wait);
      }
    }
  }

  async #fetch(request: ApiRequest, call: CallOptions, signal: AbortSignal): Promise<Response> {
    const { apiKey, fetch: send = globalThis.fetch } = this.#options;
    const headers = new Headers({ accept: "application/json, text/event-stream, */*;q=0.1" });
    for (const [name, value] of Object.entries({ ...this.#options.headers, ...call.headers })) {
      if (value !== undefined) headers.set(name, value);
    }
    const key = typeof apiKey === "function" ? apiKey() : apiKey;
    if (key !== undefined && key !== "") headers.set("authorization", `Bearer ${key}`);
    const init: RequestInit = { method: request.method, headers, signal };
    if (request.json !== undefined) {
      headers.set("content-type", "application/json");
      init.body = JSON.stringify(request.json);
    } else if (request.body !== undefined) {
      if (request.contentType !== undefined) headers.set("content-type", request.contentType);
      init.body = request.body;
    }
    const { onSent } = request;
    const url = this.baseUrl + request.path;
    // `fetch` says nothing of what it has sent.
    if (onSent !== undefined && this.#options.fetch === undefined && canReport()) {
      return sendWithProgress(url, init, onSent);
    }
    // Not as a method: in Workers and browsers fetch must not be called on another object.
    const response = await send(url, init);
    const size = sizeOf(request.body);
    onSent?.(size, size);
    return response;
  }
}

/** Return a name as one segment of a path. */
export function segment(name: string): string {
  // "." and ".." would survive encoding, and change the path.
  if (typeof name !== "string" || ["", ".", ".."].includes(name)) {
    throw new InputError({
      what: `a name cannot be ${JSON.stringify(name)}`,
      fix: "Give the name of an index, an instance, an item or a job.",
    });
  }
  return encodeURIComponent(name);
}

/** Return parameters as the end of an address; those without a value are left out. */
export function queryString(params: object = {}): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) given.append(name, String(one));
    }
  }
  const text = given.toString();
  return text && `?${text}`;
}

function checkUrl(baseUrl: string): string {
  try {
    const { protocol } = new URL(baseUrl);
    if (protocol === "http:" || protocol === "https:") return baseUrl.replace(/\/+$/, "");
  } catch {
    // Not an address at all.
  }
  throw new InputError({
    what: `baseUrl cannot be ${JSON.stringify(baseUrl)}`,
    fix: 'Give the address of a server, such as "http://127.0.0.1:8080".',
  });
}

function mayRetry(error: unknown, request: ApiRequest): boolean {
  if (request.body instanceof ReadableStream) return false;
  // The server did not begin with the request.
  if (error instanceof SecondpassError) return error.status === 429 || error.status === 503;
  return request.repeatable;
}

function waitMs(error: unknown, attempt: number): number {
  const asked = error instanceof SecondpassError ? error.retryAfter : undefined;
  if (asked !== undefined) return asked * 1000;
  // Random, so that clients that failed together do not come back together.
  return Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt) * (0.5 + Math.random() / 2);
}
