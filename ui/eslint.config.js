import js from "@eslint/js";
import svelte from "eslint-plugin-svelte";
import globals from "globals";
import ts from "typescript-eslint";

export default ts.config(
  js.configs.recommended,
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  { languageOptions: { globals: globals.browser } },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { parserOptions: { parser: ts.parser } },
  },
  {
    rules: {
      // Texts come from documents: nothing may write them as HTML.
      "svelte/no-at-html-tags": "error",
      "svelte/no-inline-styles": "error",
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "Texts are never HTML." },
        { property: "outerHTML", message: "Texts are never HTML." },
      ],
    },
  },
);
