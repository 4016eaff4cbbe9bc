// The client in Cloudflare's runtime, where only the globals of a Worker exist.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { Miniflare } from "miniflare";
import { BASE_URL, KEY } from "./fixture.js";

const BUILD = join(import.meta.dirname, "..");

test("a Worker uses the client in the place of the binding", async () => {
  const miniflare = new Miniflare({
    cf: false,
    compatibilityDate: "2026-03-27",
    modules: true,
    modulesRoot: BUILD,
    modulesRules: [{ type: "ESModule", include: ["**/*.js"] }],
    scriptPath: join(BUILD, "test", "worker", "binding.js"),
    bindings: { BASE_URL, KEY },
  });
  try {
    const response = await miniflare.dispatchFetch("http://localhost/");
    const said = await response.text();
    assert.equal(response.status, 200, said);
    assert.deepEqual(JSON.parse(said), {
      status: "completed",
      keys: ["cloudflare.md"],
      isWhole: true,
      best: 1,
    });
  } finally {
    await miniflare.dispose();
  }
});
