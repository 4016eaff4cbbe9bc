// Cloudflare's AI Search binding, answered by a secondpass server.
//
// Bound as a service, it has the methods of an `ai_search_namespaces` binding (entry point
// AiSearchNamespace) or of an `ai_search` binding (AiSearchInstance), so that a Worker written
// for them runs unchanged. Settings:
//
//   SECONDPASS_URL        base URL of the server, such as https://search.example.com
//   SECONDPASS_KEY        API key; none for a server without keys
//   SECONDPASS_NAMESPACE  namespace of the instances; "default" if absent
//   SECONDPASS_INSTANCE   instance of the entry point AiSearchInstance
//
// It does not import the client of clients/typescript, which is for Workers whose code may
// change: this is one file that wrangler deploys as it is, without npm or a build, and its
// objects cross the boundary between two Workers, for which they must be RpcTargets.
import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

const FINAL = new Set(["completed", "error", "skipped"]);

function failure(name, message) {
  const error = new Error(message);
  error.name = name;
  return error;
}

// A name as one segment of a path: "." and ".." would survive encoding and change the path.
function segment(name) {
  const text = String(name ?? "");
  if (["", ".", ".."].includes(text)) throw failure("AiSearchNameNotSetError", "a name is missing");
  return encodeURIComponent(text);
}

function query(params) {
  const given = Object.entries(params ?? {}).filter(([, value]) => value != null);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

class Api {
  constructor(env) {
    if (!env.SECONDPASS_URL) throw failure("AiSearchInternalError", "SECONDPASS_URL is not set");
    const namespace = segment(env.SECONDPASS_NAMESPACE || "default");
    const account = `${env.SECONDPASS_URL.replace(/\/+$/, "")}/client/v4/accounts/any`;
    this.base = `${account}/ai-search/namespaces/${namespace}`;
    this.headers = env.SECONDPASS_KEY ? { authorization: `Bearer ${env.SECONDPASS_KEY}` } : {};
  }

  async request(method, path, body) {
    const init = { method, headers: { ...this.headers } };
    if (body instanceof FormData) init.body = body;
    else if (body !== undefined) {
      init.headers["content-type"] = "application/json";
      init.body = JSON.stringify(body);
    }
    const response = await fetch(this.base + path, init);
    if (response.ok) return response;
    const text = await response.text();
    let message = text.slice(0, 500);
    try {
      message = JSON.parse(text).errors[0].message;
    } catch {
      // A proxy in between answers in a format of its own.
    }
    const name = response.status === 404 ? "AiSearchNotFoundError" : "AiSearchInternalError";
    throw failure(name, `secondpass answered ${response.status}: ${message}`);
  }

  async result(method, path, body) {
    return (await (await this.request(method, path, body)).json()).result;
  }

  async page(path, params) {
    const { result, result_info } = await (await this.request("GET", path + query(params))).json();
    return { result, result_info };
  }

  async chat(path, params) {
    const response = await this.request("POST", `${path}/chat/completions`, params);
    return params?.stream ? response.body : response.json();
  }
}

class Item extends RpcTarget {
  #api;
  #path;

  constructor(api, path) {
    super();
    this.#api = api;
    this.#path = path;
  }

  info() {
    return this.#api.result("GET", this.#path);
  }

  sync() {
    return this.#api.result("PATCH", this.#path, { next_action: "INDEX" });
  }

  logs(params) {
    return this.#api.page(`${this.#path}/logs`, params);
  }

  chunks(params) {
    return this.#api.page(`${this.#path}/chunks`, params);
  }

  async download() {
    const [info, response] = await Promise.all([
      this.info(),
      this.#api.request("GET", `${this.#path}/download`),
    ]);
    return {
      body: response.body,
      contentType: response.headers.get("content-type"),
      filename: info.key,
      size: info.file_size,
    };
  }
}

class Items extends RpcTarget {
  #api;
  #path;

  constructor(api, path) {
    super();
    this.#api = api;
    this.#path = path;
  }

  list(params) {
    return this.#api.page(this.#path, params);
  }

  get(id) {
    return new Item(this.#api, `${this.#path}/${segment(id)}`);
  }

  async delete(id) {
    await this.#api.result("DELETE", `${this.#path}/${segment(id)}`);
  }

  async upload(name, content, options = {}) {
    const form = new FormData();
    form.append("file", await new Response(content).blob(), name);
    if (options.metadata) form.append("metadata", JSON.stringify(options.metadata));
    return this.#api.result("POST", this.#path, form);
  }

  async uploadAndPoll(name, content, options = {}) {
    const { pollIntervalMs = 1000, timeoutMs = 30000 } = options;
    let info = await this.upload(name, content, options);
    const end = Date.now() + timeoutMs;
    while (!FINAL.has(info.status) && Date.now() < end) {
      await new Promise((wake) => setTimeout(wake, pollIntervalMs));
      info = await this.get(info.id).info();
    }
    return info;
  }
}

class Job extends RpcTarget {
  #api;
  #path;

  constructor(api, path) {
    super();
    this.#api = api;
    this.#path = path;
  }

  info() {
    return this.#api.result("GET", this.#path);
  }

  logs(params) {
    return this.#api.page(`${this.#path}/logs`, params);
  }

  cancel() {
    return this.#api.result("PATCH", this.#path, { action: "cancel" });
  }
}

class Jobs extends RpcTarget {
  #api;
  #path;

  constructor(api, path) {
    super();
    this.#api = api;
    this.#path = path;
  }

  list(params) {
    return this.#api.page(this.#path, params);
  }

  create(params = {}) {
    return this.#api.result("POST", this.#path, params);
  }

  get(id) {
    return new Job(this.#api, `${this.#path}/${segment(id)}`);
  }
}

class Instance extends RpcTarget {
  #api;
  #path;

  constructor(api, name) {
    super();
    this.#api = api;
    this.#path = `/instances/${segment(name)}`;
  }

  search(params) {
    return this.#api.result("POST", `${this.#path}/search`, params);
  }

  chatCompletions(params) {
    return this.#api.chat(this.#path, params);
  }

  update(config) {
    return this.#api.result("PUT", this.#path, config);
  }

  info() {
    return this.#api.result("GET", this.#path);
  }

  stats() {
    return this.#api.result("GET", `${this.#path}/stats`);
  }

  get items() {
    return new Items(this.#api, `${this.#path}/items`);
  }

  get jobs() {
    return new Jobs(this.#api, `${this.#path}/jobs`);
  }
}

export class AiSearchNamespace extends WorkerEntrypoint {
  get(name) {
    return new Instance(new Api(this.env), name);
  }

  list(params) {
    return new Api(this.env).page("/instances", params);
  }

  async create(config) {
    const api = new Api(this.env);
    const { id } = await api.result("POST", "/instances", config);
    return new Instance(api, id);
  }

  async delete(name) {
    await new Api(this.env).result("DELETE", `/instances/${segment(name)}`);
  }

  search(params) {
    return new Api(this.env).result("POST", "/search", params);
  }

  chatCompletions(params) {
    return new Api(this.env).chat("", params);
  }
}

export class AiSearchInstance extends WorkerEntrypoint {
  get #instance() {
    return new Instance(new Api(this.env), this.env.SECONDPASS_INSTANCE);
  }

  search(params) {
    return this.#instance.search(params);
  }

  chatCompletions(params) {
    return this.#instance.chatCompletions(params);
  }

  update(config) {
    return this.#instance.update(config);
  }

  info() {
    return this.#instance.info();
  }

  stats() {
    return this.#instance.stats();
  }

  get items() {
    return this.#instance.items;
  }

  get jobs() {
    return this.#instance.jobs;
  }
}

export default {
  fetch() {
    return new Response("Bind this Worker as a service; it has no page.", { status: 404 });
  },
};
