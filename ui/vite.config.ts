import { fileURLToPath } from "node:url";

import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

const server = process.env.SECONDPASS_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "/ui/",
  plugins: [svelte()],
  // The client's source, so that the page is built without building the client first.
  resolve: {
    alias: {
      secondpass: fileURLToPath(
        new URL("../clients/typescript/src/index.ts", import.meta.url),
      ),
    },
  },
  build: {
    outDir: "../src/secondpass/server/web/static",
    emptyOutDir: true,
    target: "es2022",
    // The content security policy has no `data:` but for images, and no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: { proxy: { "/api": server } },
  test: { include: ["tests/**/*.test.ts"] },
});
