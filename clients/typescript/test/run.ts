// Run the tests, those that need a server against one that is started here for all of them.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { serve } from "./server.js";

const here = import.meta.dirname;
const wanted = process.argv.slice(2);
const files = readdirSync(here)
  .filter((name) => name.endsWith(".test.js"))
  .filter((name) => wanted.length === 0 || wanted.some((word) => name.includes(word)))
  .map((name) => join(here, name));
const server = await serve();
try {
  const child = spawn(
    process.execPath,
    ["--test", "--test-reporter=spec", "--test-concurrency=1", ...files],
    {
      env: { ...process.env, SECONDPASS_URL: server.url, SECONDPASS_KEY: server.key },
      stdio: "inherit",
    },
  );
  process.exitCode = await new Promise<number>((resolve) => {
    child.once("exit", (code) => resolve(code ?? 1));
  });
} finally {
  await server.stop();
}
