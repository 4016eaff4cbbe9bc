// The package as it would be published: packed, installed in an empty folder, and the code of
// the README run there.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BASE_URL, KEY } from "./fixture.js";

const HERE = join(import.meta.dirname, "..", "..");
const GUIDE = "use-from-typescript.md";
const place = mkdtempSync(join(tmpdir(), "secondpass-package-"));
const installed = join(place, "node_modules", "secondpass");

function run(program: string, arguments_: string[], cwd: string): string {
  return execFileSync(program, arguments_, { cwd, encoding: "utf8", stdio: "pipe" });
}

before(() => {
  const packed = run("npm", ["pack", "--json", "--pack-destination", place], HERE);
  const [{ filename }] = JSON.parse(packed.slice(packed.indexOf("["))) as [
    { filename: string },
  ];
  writeFileSync(join(place, "package.json"), '{ "private": true, "type": "module" }');
  const quiet = ["--offline", "--no-audit", "--no-fund"];
  run("npm", ["install", ...quiet, join(place, filename)], place);
});

after(() => rmSync(place, { recursive: true, force: true }));

test("the package needs no other, and holds what it names", () => {
  const modules = readdirSync(join(place, "node_modules")).filter(
    (name) => !name.startsWith("."),
  );
  assert.deepEqual(modules, ["secondpass"]);
  const files = ["LICENSE", "README.md", "dist", "package.json", "src"];
  assert.deepEqual(readdirSync(installed).sort(), files);
  const about = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
    version: string;
    exports: Record<string, string>;
  };
  for (const path of Object.values(about.exports)) readFileSync(join(installed, path));
  const version = readFileSync(join(HERE, "../../src/secondpass/_version.py"), "utf8");
  assert.equal(version.trim(), `__version__ = "${about.version}"`);
});

test("the code of the README and of the guide compiles and runs", () => {
  // The frameworks are those of this folder: an empty folder would download them.
  for (const name of ["ai", "@langchain/core", "@types/node"]) {
    const link = join(place, "node_modules", name);
    mkdirSync(join(link, ".."), { recursive: true });
    symlinkSync(join(HERE, "node_modules", name), link);
  }
  const pages = [join(installed, "README.md"), join(HERE, "../../docs/how-to", GUIDE)];
  const blocks = pages.flatMap((page) => {
    const text = readFileSync(page, "utf8");
    return [...text.matchAll(/^```ts\n([^]*?)^```/gm)].map((found) => found[1] ?? "");
  });
  const address = /baseUrl: "http:\/\/127\.0\.0\.1:8080"/;
  const settings = JSON.stringify({ baseUrl: BASE_URL }).slice(1, -1);
  const names = blocks.map((block, number) => {
    assert.match(block, address);
    const key = block.includes("createAiSearch") ? "token" : "apiKey";
    const code = block.replace(address, `${settings}, ${key}: ${JSON.stringify(KEY)}`);
    writeFileSync(join(place, `block-${number}.ts`), code);
    return `block-${number}`;
  });
  const options = ["--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck"];
  const files = names.map((name) => `${name}.ts`);
  run(
    process.execPath,
    [join(HERE, "node_modules/typescript/bin/tsc"), ...options, ...files],
    place,
  );
  const said = names.map((name) => run(process.execPath, [`${name}.js`], place));
  assert.equal(said.length, 8);
  const [reranked, searched, failed, cloudflare, aiSdk, langchain, guide, worker] = said;
  assert.match(reranked ?? "", /^1 0\.\d+/);
  assert.match(searched ?? "", /2 of 2\n2\n1 [\d.]+ A green salad[^]*extractive \d/);
  assert.equal(failed, "no such index\n");
  assert.match(cloudflare ?? "", /^about\.md [01]/);
  assert.match(aiSdk ?? "", /To change the password/);
  assert.match(guide ?? "", /^1 To change the password, open the settings\. 0\.\d+/);
  assert.equal(worker, "What is Cloudflare? 0\n");
  assert.match(langchain ?? "", /^To change the password, open the settings\. 0\.\d+/);
});
