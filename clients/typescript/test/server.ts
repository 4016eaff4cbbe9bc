// A real server in a process of its own, on a free port, with keys and an empty data folder.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, openSync, closeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const ROOT = join(import.meta.dirname, "..", "..", "..", "..");
const START_MS = 180_000;

export interface Served {
  url: string;
  key: string;
  /** Stop the server and remove what it stored. */
  stop(): Promise<void>;
}

/** Start a server; `arguments_` are further options of `secondpass serve`. */
export async function serve(
  arguments_: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Served> {
  const place = mkdtempSync(join(tmpdir(), "secondpass-"));
  const python = process.env["SECONDPASS_PYTHON"] ?? join(ROOT, ".venv", "bin", "python");
  const environment = { ...process.env, PYTHONPATH: join(ROOT, "src"), ...env };
  const keys = join(place, "keys.json");
  const scopes = ["rerank", "search", "write"].flatMap((scope) => ["--scope", scope]);
  const create = ["-m", "secondpass", "keys", "create", "tests", ...scopes, "--keys", keys];
  const made = spawnSync(python, [...create, "--json"], { env: environment, encoding: "utf8" });
  if (made.status !== 0) throw new Error(`no key was made: ${made.stderr}${made.error ?? ""}`);
  const { key } = JSON.parse(made.stdout) as { key: string };

  const options = [
    "--port",
    "0",
    "--log",
    "json",
    "--keys",
    keys,
    "--data",
    join(place, "data"),
  ];
  // A file, because a pipe that nobody reads would stop the server when it is full.
  const log = join(place, "log");
  const written = openSync(log, "w");
  const child = spawn(python, ["-m", "secondpass", "serve", ...options, ...arguments_], {
    env: environment,
    stdio: ["ignore", written, written],
  });
  closeSync(written);
  const stop = async (): Promise<void> => {
    if (child.exitCode === null) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
    }
    rmSync(place, { recursive: true, force: true });
  };
  try {
    return { url: await address(child, log), key, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function address(child: ChildProcess, log: string): Promise<string> {
  const end = Date.now() + START_MS;
  while (child.exitCode === null && Date.now() < end) {
    const found = /Uvicorn running on (http:\/\/[\w.:]+)/.exec(readFileSync(log, "utf8"));
    if (found?.[1]) return found[1];
    await sleep(100);
  }
  throw new Error(`the server did not start:\n${readFileSync(log, "utf8")}`);
}
