import { describe, expect, it } from "vitest";

import { excerpt, pieces } from "../src/model/highlight";

describe("marks in a text", () => {
  it("count code points, as the server does", () => {
    const text = "😀 one. Two 𝒳. three";
    expect(pieces(text, [{ start: 7, end: 13 }])).toEqual([
      { text: "😀 one. ", marked: false, mark: -1 },
      { text: "Two 𝒳.", marked: true, mark: 0 },
      { text: " three", marked: false, mark: -1 },
    ]);
  });

  it("keep the whole text, whatever the marks", () => {
    const text = "a\u200Bb\u202Ec <script>d</script>";
    for (const marks of [
      [],
      [{ start: 0, end: 99 }],
      [
        { start: 5, end: 8 },
        { start: 2, end: 6 },
      ],
      [{ start: 4, end: 2 }],
      [{ start: 90, end: 99 }],
    ]) {
      const found = pieces(text, marks);
      expect(found.map((piece) => piece.text).join("")).toBe(text);
    }
  });
});

describe("an excerpt", () => {
  it("starts at the sentence that matters", () => {
    expect(excerpt("First. Second one.", 7, 6)).toBe("… Second …");
    expect(excerpt("short", 0, 100)).toBe("short");
  });
});
