// Remove the folders of earlier builds: modules that are gone must not be packed or tested.
import { rmSync } from "node:fs";
import { join } from "node:path";

for (const folder of process.argv.slice(2)) {
  rmSync(join(import.meta.dirname, "..", folder), { recursive: true, force: true });
}
