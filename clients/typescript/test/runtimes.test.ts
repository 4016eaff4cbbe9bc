// The client in other runtimes than the one of the tests, where they are on the PATH.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const CALLS = join(import.meta.dirname, "runtime", "calls.js");
const RUNTIMES: Record<string, string[]> = {
  node: [CALLS],
  bun: [CALLS],
  deno: ["run", "--allow-env", "--allow-net", "--allow-read", CALLS],
};

for (const [program, arguments_] of Object.entries(RUNTIMES)) {
  const found = spawnSync(program, ["--version"]).status === 0;
  test(`${program} runs the client`, { skip: !found && `there is no ${program} here` }, () => {
    const env = { ...process.env, SECONDPASS_INDEX: `in-${program}` };
    const said = execFileSync(program, arguments_, { env, encoding: "utf8" });
    const { missing, ...outcome } = JSON.parse(said) as Record<string, unknown>;
    assert.match(String(missing), /^NotFoundError: .*none/);
    assert.deepEqual(outcome, {
      best: 1,
      stored: 1,
      events: ["passages", "text", "answer"],
      uploaded: "completed",
      aborted: "Error: no more",
    });
  });
}
