// Retries, time-outs and cancellation, against servers that fail in every way.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as sp from "../src/index.js";
import { breakOff, json, silence, withFaults, type Answer } from "./faults.js";

const MODELS = json({ models: ["m"] });
const BUSY = {
  error: "busy",
  message: "the queue is full",
  id: "r1",
  what: "the queue is full",
};

function clientOf(baseUrl: string, options: Partial<sp.ClientOptions> = {}): sp.Secondpass {
  return new sp.Secondpass({ baseUrl, ...options });
}

test("429 and 503 are tried again after the time that the server asks for", async () => {
  const answers = [json(BUSY, 429, { "retry-after": "1" }), json(BUSY, 503), MODELS];
  await withFaults(answers, async ({ url, requests }) => {
    assert.deepEqual(await clientOf(url).models(), ["m"]);
    assert.equal(requests.length, 3);
    const [first, second] = requests;
    assert.ok(first && second && second.at - first.at >= 990);
  });
});

test("retries end, and the error has what the server said", async () => {
  await withFaults([json(BUSY, 429, { "retry-after": "0" })], async ({ url, requests }) => {
    await assert.rejects(clientOf(url, { maxRetries: 1 }).models(), (error) => {
      assert.ok(error instanceof sp.RateLimitError);
      assert.deepEqual(
        [error.message, error.kind, error.requestId, error.retryAfter, error.status],
        ["the queue is full", "busy", "r1", 0, 429],
      );
      return true;
    });
    assert.equal(requests.length, 2);
  });
});

test("a wait that is longer than the time-out is not begun", async () => {
  const later = new Date(Date.now() + 3_600_000).toUTCString();
  await withFaults([json(BUSY, 503, { "retry-after": later })], async ({ url, requests }) => {
    await assert.rejects(clientOf(url).models(), (error) => {
      assert.ok(error instanceof sp.UnavailableError && error instanceof sp.ServerError);
      assert.ok((error.retryAfter ?? 0) > 3500);
      return true;
    });
    assert.equal(requests.length, 1);
  });
});

test("a broken connection is tried again where that does no harm", async () => {
  await withFaults([breakOff, breakOff, MODELS], async ({ url }) => {
    assert.deepEqual(await clientOf(url).models(), ["m"]);
  });
  await withFaults([breakOff, json({ name: "x", documents: 0 }, 201)], async (faults) => {
    const creating = clientOf(faults.url).indexes.create({ name: "x" });
    await assert.rejects(creating, sp.ConnectionError);
    assert.equal(faults.requests.length, 1);
  });
});

test("a server that does not run is named, with what to do", async () => {
  let gone = "";
  await withFaults([MODELS], async ({ url }) => {
    gone = url;
  });
  await assert.rejects(clientOf(gone, { maxRetries: 0 }).models(), (error) => {
    assert.ok(error instanceof sp.ConnectionError);
    assert.match(error.where ?? "", /\/api\/v1\/models$/);
    assert.match(error.why ?? "", /ECONNREFUSED/);
    assert.match(error.fix ?? "", /secondpass serve/);
    return true;
  });
});

test("a time-out ends the call, and its request", async () => {
  const half: Answer = (response) => void response.writeHead(200).write('{"models":');
  for (const answer of [silence, half]) {
    await withFaults([answer], async ({ url, requests }) => {
      const call = clientOf(url, { timeoutMs: 60_000 }).models({ timeoutMs: 100 });
      await assert.rejects(call, sp.TimeoutError);
      await requests[0]?.closed;
    });
  }
});

test("an aborted call rejects with the caller's reason", async () => {
  await withFaults([silence], async ({ url, requests }) => {
    const controller = new AbortController();
    const reason = new Error("typed on");
    const call = clientOf(url).models({ signal: controller.signal });
    while (requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort(reason);
    await assert.rejects(call, (error) => error === reason);
    await requests[0]?.closed;
    const late = clientOf(url).models({ signal: controller.signal });
    await assert.rejects(late, (error) => error === reason);
    assert.equal(requests.length, 1);
  });
});

test("an abort ends the wait before a retry", async () => {
  await withFaults([json(BUSY, 503, { "retry-after": "30" })], async ({ url, requests }) => {
    const controller = new AbortController();
    const call = clientOf(url).models({ signal: controller.signal });
    while (requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await requests[0]?.closed;
    controller.abort();
    await assert.rejects(call, { name: "AbortError" });
  });
});

test("answers of others than a secondpass server are named", async () => {
  const page: Answer = (response) => response.end("<html>welcome</html>");
  await withFaults([page], async ({ url }) => {
    await assert.rejects(clientOf(url).models(), (error) => {
      assert.ok(error instanceof sp.ResponseError);
      assert.match(error.why ?? "", /<html>/);
      return true;
    });
  });
  const proxy: Answer = (response) => response.writeHead(502).end("bad gateway");
  await withFaults([proxy], async ({ url, requests }) => {
    await assert.rejects(clientOf(url).models(), (error) => {
      assert.ok(error instanceof sp.ServerError);
      assert.equal(error.message, "the server answered 502: bad gateway");
      return true;
    });
    assert.equal(requests.length, 1);
  });
});

test("a stream that breaks, ends early or reports an error is not taken for an answer", async () => {
  const text = 'event: text\ndata: {"text":"Paris"}\n\n';
  const failed = `event: error\ndata: ${JSON.stringify({ ...BUSY, fix: "Wait." })}\n\n`;
  const begin = (rest: (response: Parameters<Answer>[0]) => void): Answer => {
    return (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write(text);
      setTimeout(() => rest(response), 50);
    };
  };
  const cases = [
    [begin((response) => response.destroy()), sp.ConnectionError],
    [begin((response) => response.end()), sp.ResponseError],
    [begin((response) => response.end(failed)), sp.ServerError],
    [begin(() => undefined), sp.TimeoutError],
  ] as const;
  for (const [answer, type] of cases) {
    await withFaults([answer], async ({ url, requests }) => {
      const stream = clientOf(url).streamAnswer("docs", { query: "x" }, { timeoutMs: 500 });
      assert.deepEqual((await stream.next()).value, { type: "text", text: "Paris" });
      await assert.rejects(stream.next(), type);
      await requests[0]?.closed;
    });
  }
});

test("leaving the loop over an answer ends the request", async () => {
  const endless: Answer = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const timer = setInterval(() => response.write('event: text\ndata: {"text":"a"}\n\n'), 5);
    response.once("close", () => clearInterval(timer));
  };
  await withFaults([endless], async ({ url, requests }) => {
    let pieces = 0;
    for await (const _ of clientOf(url).streamAnswer("docs", { query: "x" })) {
      if (++pieces === 3) break;
    }
    await requests[0]?.closed;
  });
});

test("wrong addresses and names are found before anything is sent", () => {
  for (const baseUrl of ["", "localhost:8080", "ftp://x", "/api"]) {
    assert.throws(() => clientOf(baseUrl), sp.InputError);
  }
  assert.equal(clientOf("http://127.0.0.1:1/prefix//").baseUrl, "http://127.0.0.1:1/prefix");
});

test("headers, keys and names arrive as they were given", async () => {
  const seen: Record<string, unknown>[] = [];
  const record: Answer = (response, { headers, url }) => {
    seen.push({ ...headers, url });
    json({ name: "x", documents: 0 })(response, {} as Parameters<Answer>[1]);
  };
  await withFaults([record], async ({ url }) => {
    const keys = ["first", undefined];
    const client = clientOf(url, { apiKey: () => keys.shift(), headers: { "x-team": "a" } });
    await client.indexes.get("a/b?c");
    await client.indexes.get("x", { headers: { "x-team": "b" } });
  });
  const sent = seen.map((one) => [one["url"], one["authorization"], one["x-team"]]);
  assert.deepEqual(sent, [
    ["/api/v1/indexes/a%2Fb%3Fc", "Bearer first", "a"],
    ["/api/v1/indexes/x", undefined, "b"],
  ]);
});
