// Requests to the API of Cloudflare AI Search: its envelope, its lists and its errors.

import { InputError, NotFoundError, SecondpassError } from "../errors.js";
import {
  queryString,
  segment,
  Transport,
  type ApiRequest,
  type CallOptions,
  type ClientOptions,
} from "../transport.js";

/** Where the instances are. */
export interface AiSearchClientOptions extends Omit<ClientOptions, "apiKey"> {
  /** An API key of the server, or a function that returns it; none for a server without. */
  token?: ClientOptions["apiKey"];
  /** The namespace of the instances; "default" if absent. */
  namespace?: string | undefined;
}

type Method = ApiRequest["method"];

/** The API of one namespace. */
export class AiSearchApi {
  readonly #transport: Transport;
  readonly #prefix: string;

  constructor({ token, namespace = "default", ...options }: AiSearchClientOptions) {
    this.#transport = new Transport({ ...options, apiKey: token });
    // The account in the path is ignored by the server: the key says whose instances they are.
    this.#prefix = `/client/v4/accounts/any/ai-search/namespaces/${name(namespace)}`;
  }

  /** Return the `result` of a call. */
  async result<T>(method: Method, path: string, body?: object, call?: CallOptions): Promise<T> {
    const found = await this.#named(() =>
      this.#transport.json<{ result: T }>(this.#request(method, path, body), call),
    );
    return found.result;
  }

  /** Return a page of a list. */
  async page<T>(path: string, params?: object, call?: CallOptions): Promise<T> {
    const request = this.#request("GET", path + queryString(params));
    return this.#named(() => this.#transport.json<T>(request, call));
  }

  /** Return the response of a call that has no envelope. */
  async open(
    method: Method,
    path: string,
    body?: object,
    call?: CallOptions,
  ): Promise<Response> {
    return this.#named(() => this.#transport.open(this.#request(method, path, body), call));
  }

  /** Return the answer of a chat, or the stream of its events. */
  async chat<T>(
    path: string,
    body: Record<string, unknown>,
    call?: CallOptions,
  ): Promise<T | ReadableStream> {
    const request = this.#request("POST", `${path}/chat/completions`, body);
    if (body["stream"] !== true) {
      return this.#named(() => this.#transport.json<T>(request, call));
    }
    const response = await this.#named(() => this.#transport.open(request, call));
    return response.body ?? new ReadableStream({ start: (empty) => empty.close() });
  }

  #request(method: Method, path: string, body?: object): ApiRequest {
    // Creating something twice would fail, or leave two of it.
    const repeatable = method === "GET" || /\/(search|completions|items)$/.test(path);
    const request = { method, path: this.#prefix + path, repeatable };
    if (body === undefined) return request;
    return body instanceof FormData ? { ...request, body } : { ...request, json: body };
  }

  async #named<T>(send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      // Code that is written for the binding asks for these names.
      if (error instanceof SecondpassError) {
        const found = error instanceof NotFoundError;
        error.name = found ? "AiSearchNotFoundError" : "AiSearchInternalError";
      }
      throw error;
    }
  }
}

/** Return a name as a segment of a path; throws the binding's error for a missing name. */
export function name(text: string): string {
  try {
    return segment(text);
  } catch (error) {
    if (error instanceof InputError) error.name = "AiSearchNameNotSetError";
    throw error;
  }
}
