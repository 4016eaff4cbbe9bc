// Run a Worker in miniflare, with deploy/cloudflare/worker.mjs bound as AI_SEARCH and ONE.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { Miniflare } = require("miniflare");

const { settings, worker, shim, text } = JSON.parse(process.argv[2]);
const compatibilityDate = "2026-03-27";
const worker_ = (name, path) => ({
  name,
  compatibilityDate,
  modules: true,
  script: readFileSync(path, "utf8"),
});

(async () => {
  const miniflare = new Miniflare({
    cf: false,
    workers: [
      {
        ...worker_("app", join(__dirname, worker)),
        serviceBindings: {
          AI_SEARCH: { name: "shim", entrypoint: "AiSearchNamespace" },
          ONE: { name: "shim", entrypoint: "AiSearchInstance" },
        },
      },
      {
        ...worker_("shim", shim),
        bindings: { ...settings, SECONDPASS_INSTANCE: "my-instance" },
      },
    ],
  });
  try {
    const response = await miniflare.dispatchFetch("http://localhost/", {
      method: "POST",
      body: text ?? "",
    });
    const said = await response.text();
    if (!response.ok) throw new Error(said);
    console.log(said);
  } finally {
    await miniflare.dispose();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
