// The errors of this package.
//
// SecondpassError
// ├── InputError            the request is not valid (400, 413, 422), or was not sent
// ├── AuthenticationError   the API key is missing or unknown (401)
// ├── ForbiddenError        the API key does not have the scope (403)
// ├── NotFoundError         there is no such index, model, document or path (404)
// ├── ConflictError         it exists already (409)
// ├── RateLimitError        the queue is full or the key is over its rate (429)
// ├── TimeoutError          no answer within the time-out of the client or the server (408, 504)
// ├── ConnectionError       the server was not reached, or the connection broke
// ├── ServerError           the server failed (500 and others)
// │   └── UnavailableError  the server starts, stops or cannot work now (503)
// ├── ResponseError         the answer is not what a secondpass server sends
// └── UploadError           an upload ended early; `stored` counts what was stored before
//
// A call that its AbortSignal ends rejects with the signal's reason, as `fetch` does.

import type { Stored } from "./types.js";

/** What an error is made from: the parts of its sentence, and where they come from. */
export interface ErrorParts {
  what: string;
  where?: string | null | undefined;
  why?: string | null | undefined;
  fix?: string | null | undefined;
  /** The sentence; made from the parts where it is not given. */
  message?: string | undefined;
  /** The HTTP status, where there was an answer. */
  status?: number | undefined;
  /** The server's short name of the error, such as "not found". */
  kind?: string | undefined;
  /** The id under which the server logged the request. */
  requestId?: string | undefined;
  /** Seconds after which the server wants the request again. */
  retryAfter?: number | undefined;
  cause?: unknown;
}

/** The base class: what failed, where, why, and what to do next. */
export class SecondpassError extends Error {
  override name = "SecondpassError";
  readonly what: string;
  readonly where: string | undefined;
  readonly why: string | undefined;
  readonly fix: string | undefined;
  readonly status: number | undefined;
  readonly kind: string | undefined;
  readonly requestId: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(parts: ErrorParts) {
    super(parts.message ?? sentence(parts), { cause: parts.cause });
    this.what = parts.what;
    this.where = parts.where ?? undefined;
    this.why = parts.why ?? undefined;
    this.fix = parts.fix ?? undefined;
    this.status = parts.status;
    this.kind = parts.kind;
    this.requestId = parts.requestId;
    this.retryAfter = parts.retryAfter;
  }
}

/** The request is not valid; some mistakes are found before anything is sent. */
export class InputError extends SecondpassError {
  override name = "InputError";
}

/** The API key is missing or unknown. */
export class AuthenticationError extends SecondpassError {
  override name = "AuthenticationError";
}

/** The API key does not have the scope that the call needs. */
export class ForbiddenError extends SecondpassError {
  override name = "ForbiddenError";
}

/** There is no such index, model, document or path. */
export class NotFoundError extends SecondpassError {
  override name = "NotFoundError";
}

/** What should be created exists already. */
export class ConflictError extends SecondpassError {
  override name = "ConflictError";
}

/** The server's queue is full, or the key is over its rate limit, also after the retries. */
export class RateLimitError extends SecondpassError {
  override name = "RateLimitError";
}

/** There was no answer within the time-out of the client, or of the server. */
export class TimeoutError extends SecondpassError {
  override name = "TimeoutError";
}

/** The server was not reached, or the connection broke before the answer was whole. */
export class ConnectionError extends SecondpassError {
  override name = "ConnectionError";
}

/** The server failed. */
export class ServerError extends SecondpassError {
  override name = "ServerError";
}

/** The server starts, stops or cannot work now, also after the retries. */
export class UnavailableError extends ServerError {
  override name = "UnavailableError";
}

/** The answer is not what a secondpass server sends, such as the page of a proxy. */
export class ResponseError extends SecondpassError {
  override name = "ResponseError";
}

/** An upload of several requests ended early. `stored` counts what was stored before. */
export class UploadError extends SecondpassError {
  override name = "UploadError";

  constructor(
    parts: ErrorParts,
    readonly stored: Stored,
  ) {
    super(parts);
  }
}

/** Return the error class of an HTTP status. */
export function errorClass(status: number): new (parts: ErrorParts) => SecondpassError {
  switch (status) {
    case 401:
      return AuthenticationError;
    case 403:
      return ForbiddenError;
    case 404:
      return NotFoundError;
    case 408:
    case 504:
      return TimeoutError;
    case 409:
      return ConflictError;
    case 429:
      return RateLimitError;
    case 503:
      return UnavailableError;
    default:
      return status < 500 ? InputError : ServerError;
  }
}

function sentence({ what, where, why, fix }: ErrorParts): string {
  const place = where ? `${what} (${where})` : what;
  const head = why ? `${place}: ${why}` : place;
  return fix ? `${head.replace(/\.+$/, "")}. ${fix}` : head;
}
