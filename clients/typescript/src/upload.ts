// Sending a body in a browser with the number of bytes that have gone.

/** Called with the bytes that were sent, and their number in all. */
export type OnSent = (sent: number, total: number) => void;

// As much of a browser's XMLHttpRequest as is used here: other runtimes have no type of it.
interface Exchange {
  status: number;
  statusText: string;
  response: ArrayBuffer;
  responseType: string;
  upload: { onprogress: ((event: { loaded: number; total: number }) => void) | null };
  onload: (() => void) | null;
  onerror: (() => void) | null;
  onabort: (() => void) | null;
  open(method: string, url: string): void;
  setRequestHeader(name: string, value: string): void;
  getAllResponseHeaders(): string;
  send(body: unknown): void;
  abort(): void;
}

function exchangeType(): (new () => Exchange) | undefined {
  return (globalThis as { XMLHttpRequest?: new () => Exchange }).XMLHttpRequest;
}

/** Return whether the runtime says how much of a body was sent. */
export function canReport(): boolean {
  return exchangeType() !== undefined;
}

/** Return the bytes of a body that is sent whole; 0 where that is not known. */
export function sizeOf(body: unknown): number {
  if (typeof body === "string") return new TextEncoder().encode(body).length;
  if (body instanceof Blob) return body.size;
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body.byteLength;
  return 0;
}

/** Do as `fetch`, with its errors, and call `onSent` as the body is sent. */
export function sendWithProgress(
  url: string,
  init: RequestInit,
  onSent: OnSent,
): Promise<Response> {
  const Type = exchangeType();
  if (Type === undefined) return fetch(url, init);
  const exchange = new Type();
  const signal = init.signal ?? undefined;
  return new Promise<Response>((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = (): void => exchange.abort();
    const settle = (finish: () => void) => (): void => {
      signal?.removeEventListener("abort", abort);
      finish();
    };
    exchange.open(init.method ?? "GET", url);
    new Headers(init.headers).forEach((value, name) => exchange.setRequestHeader(name, value));
    exchange.responseType = "arraybuffer";
    exchange.upload.onprogress = ({ loaded, total }) => onSent(loaded, total);
    exchange.onload = settle(() => resolve(responseOf(exchange)));
    exchange.onerror = settle(() => reject(new TypeError("the request failed")));
    exchange.onabort = settle(() => reject(signal?.reason as Error));
    signal?.addEventListener("abort", abort);
    exchange.send(init.body);
  });
}

function responseOf(exchange: Exchange): Response {
  const headers = new Headers();
  for (const line of exchange.getAllResponseHeaders().split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  const { status, statusText } = exchange;
  // Statuses without a body must not get one, not even an empty one.
  const body = [204, 205, 304].includes(status) ? null : exchange.response;
  return new Response(body, { status, statusText, headers });
}
