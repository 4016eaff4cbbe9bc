// Time-outs and cancellation of one call.

import { ConnectionError, SecondpassError, TimeoutError } from "./errors.js";

/** A signal that ends a call at its time-out, or when the caller aborts it. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #abort = (): void => this.#controller.abort(this.#outer?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;
  #end = Infinity;

  /** Start to count; `timeoutMs` of 0 is no time-out. */
  constructor(
    readonly timeoutMs: number,
    outer?: AbortSignal,
  ) {
    this.#outer = outer;
    if (outer?.aborted) this.#abort();
    outer?.addEventListener("abort", this.#abort);
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Milliseconds that are left. */
  get left(): number {
    return this.#end - Date.now();
  }

  /** Count from the beginning, as when a stream has sent something. */
  restart(): void {
    this.stop();
    if (this.timeoutMs <= 0) return;
    this.#end = Date.now() + this.timeoutMs;
    this.#timer = setTimeout(() => {
      this.#isOver = true;
      this.#controller.abort();
    }, this.timeoutMs);
  }

  /** Stop the timer; the caller's signal still ends the request. */
  stop(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#end = Infinity;
  }

  /** Release the timer and the caller's signal. */
  close(): void {
    this.stop();
    this.#outer?.removeEventListener("abort", this.#abort);
  }

  /** Close, and end a request that is still under way. */
  cancel(): void {
    this.close();
    this.#controller.abort();
  }

  /** Resolve after so many milliseconds, or reject when the deadline ends. */
  async sleep(ms: number): Promise<void> {
    const { signal } = this;
    if (signal.aborted) throw signal.reason;
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Return what a caller gets for an error: its own reason, or an error of this package. */
  explain(error: unknown, url: string): unknown {
    if (this.#outer?.aborted) return this.#outer.reason;
    if (this.#isOver) {
      return new TimeoutError({
        what: "the server did not answer in time",
        where: url,
        why: `there was no answer within ${this.timeoutMs} ms`,
        fix: "Raise timeoutMs, or see in the server's log what takes so long.",
        cause: error,
      });
    }
    if (error instanceof SecondpassError) return error;
    return new ConnectionError({
      what: "the connection to the server failed",
      where: url,
      why: reason(error),
      fix: "Check baseUrl, and that the server runs: secondpass serve",
      cause: error,
    });
  }
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Node says only "fetch failed", and the rest in the cause.
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  return cause.message || String((cause as { code?: unknown }).code ?? error.message);
}
