// Write src/openapi.ts, the types of the server's interface; with --check, say if it is stale.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import openapiTS, { astToString } from "openapi-typescript";

const source = new URL("../../../docs/reference/openapi.json", import.meta.url);
const target = fileURLToPath(new URL("../src/openapi.ts", import.meta.url));
const head = "// Written by scripts/openapi.mjs from docs/reference/openapi.json.\n\n";

// A field with a default may be left out of a request.
const tree = await openapiTS(source, { defaultNonNullable: false, emptyObjectsUnknown: true });
const text = head + astToString(tree);

if (!process.argv.includes("--check")) {
  writeFileSync(target, text);
} else if (readFileSync(target, "utf8") !== text) {
  console.error("src/openapi.ts is out of date: run npm run types");
  process.exit(1);
}
