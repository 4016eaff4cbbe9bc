import assert from "node:assert/strict";
import { test } from "node:test";
import { readEvents, type ServerSentEvent } from "../src/index.js";

const TEXT = [
  ": a comment\r\n\r\n",
  "event: text\r\ndata: größer 🌊\r\n\r\n",
  "data:one\ndata: two\ndata\n\n",
  "event: nothing\n\n",
  "id: 7\nretry: 10\rdata: last\r\r",
  "event: cut\ndata: not ended",
].join("");
const EVENTS = [
  { event: "text", data: "größer 🌊" },
  { event: "message", data: "one\ntwo\n" },
  { event: "message", data: "last" },
];

async function read(pieces: Uint8Array[]): Promise<ServerSentEvent[]> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  const found: ServerSentEvent[] = [];
  for await (const event of readEvents(body)) found.push(event);
  return found;
}

test("events are the same wherever the bytes are divided", async () => {
  const bytes = new TextEncoder().encode(TEXT);
  for (let size = 1; size <= bytes.length; size++) {
    const pieces = [];
    for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
    assert.deepEqual(await read(pieces), EVENTS, `pieces of ${size} bytes`);
  }
});

test("a stream that is not read to its end is cancelled", async () => {
  let isCancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new TextEncoder().encode("data: x\n\n")),
    cancel: () => void (isCancelled = true),
  });
  for await (const event of readEvents(body)) {
    assert.equal(event.data, "x");
    break;
  }
  assert.ok(isCancelled);
});
