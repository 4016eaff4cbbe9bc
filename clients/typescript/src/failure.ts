// Errors made from responses that are not successful.

import { errorClass, type ErrorParts, type SecondpassError } from "./errors.js";
import type { Failure } from "./types.js";

const MAX_TEXT = 500;

/** Return the error of a response, in the server's native format or in that of Cloudflare. */
export async function failureOf(response: Response): Promise<SecondpassError> {
  const text = await response.text().catch(() => "");
  const { status, headers } = response;
  return failure(status, { ...parts(text, status), retryAfter: retryAfter(headers) }, headers);
}

/** Return the error of a failure that a stream ends with, after the status was sent. */
export function streamFailure(found: Failure): SecondpassError {
  return failure(500, fromNative(found));
}

function failure(status: number, found: ErrorParts, headers?: Headers): SecondpassError {
  const requestId = found.requestId ?? headers?.get("x-request-id") ?? undefined;
  return new (errorClass(status))({ ...found, status, requestId });
}

function parts(text: string, status: number): ErrorParts {
  const found = parseObject(text);
  if (typeof found?.["message"] === "string") {
    return fromNative(found as unknown as Failure);
  }
  const errors = found?.["errors"];
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  if (isObject(first) && typeof first["message"] === "string")
    return { what: first["message"] };
  const said = text.trim().slice(0, MAX_TEXT);
  return { what: `the server answered ${status}`, why: said || undefined };
}

function fromNative(found: Failure): ErrorParts {
  const { message, what, where, why, fix, error, id } = found;
  return { message, what: what ?? message, where, why, fix, kind: error, requestId: id };
}

/** Return the seconds that `Retry-After` asks for, in either of its two formats. */
export function retryAfter(headers: Headers): number | undefined {
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  const seconds = /^\s*\d+\s*$/.test(value)
    ? Number(value)
    : (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const found: unknown = JSON.parse(text);
    return isObject(found) ? found : undefined;
  } catch {
    // A proxy in between answers in a format of its own.
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
