// Server-sent events, read from the body of a response.

/** One event: its name ("message" where the server gives none) and its data. */
export interface ServerSentEvent {
  event: string;
  data: string;
}

/** Yield the events of a stream of bytes; the stream is cancelled when the loop ends early. */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
): AsyncGenerator<ServerSentEvent, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** A parser of text that comes in pieces of any length. */
export class EventParser {
  #rest = "";
  #event = "";
  #data: string[] = [];

  /** Yield the events that are complete with this piece. */
  *push(piece: string): Generator<ServerSentEvent, void, undefined> {
    const text = this.#rest + piece;
    // A carriage return at the end may be half of a line end.
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = text.slice(0, end).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? "") + text.slice(end);
    for (const line of lines) {
      if (line !== "") this.#read(line);
      else if (this.#data.length > 0) yield this.#take();
      else this.#event = "";
    }
  }

  #read(line: string): void {
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
  }

  #take(): ServerSentEvent {
    const found = { event: this.#event || "message", data: this.#data.join("\n") };
    this.#event = "";
    this.#data = [];
    return found;
  }
}
