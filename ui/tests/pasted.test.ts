import { describe, expect, it } from "vitest";

import { parseTable, readDropped, readPasted } from "../src/model/pasted";

describe("pasted texts", () => {
  it("are parted by empty lines", () => {
    expect(readPasted("one\nstill one\r\n\r\ntwo\n \n\n three ")).toEqual([
      { text: "one\nstill one" },
      { text: "two" },
      { text: "three" },
    ]);
    expect(readPasted("  \n ")).toEqual([]);
  });

  it("can be lines of JSON, or a list", () => {
    const texts = [{ text: "a", id: "1", title: "T" }, { text: "b" }];
    expect(readPasted('{"text": "a", "id": 1, "title": "T"}\n"b"')).toEqual(texts);
    expect(readPasted('[{"contents": "a", "_id": "1", "title": "T"}, "b"]')).toEqual(texts);
  });

  it("stay plain where a value of the JSON has no text", () => {
    expect(readPasted('{"name": "x"}')).toEqual([{ text: '{"name": "x"}' }]);
    expect(readPasted('["a", 1]')).toEqual([{ text: '["a", 1]' }]);
    expect(readPasted("12")).toEqual([{ text: "12" }]);
  });
});

describe("dropped files", () => {
  it("of a table are read by its column of texts", () => {
    const csv = '\uFEFFid,Title,text\r\n1,"A ""b""","one, two\nthree"\r\n2,,\r\n';
    expect(readDropped("x.CSV", csv)).toEqual([
      { text: "one, two\nthree", id: "1", title: 'A "b"' },
    ]);
  });

  it("of a table without such a column have a text a row", () => {
    expect(readDropped("x.tsv", "a\tb\nc\td")).toEqual([{ text: "a b" }, { text: "c d" }]);
  });
});

describe("a table", () => {
  it("keeps quoted separators and drops empty rows", () => {
    expect(parseTable('a,"b,c"\n\n"",d', ",")).toEqual([
      ["a", "b,c"],
      ["", "d"],
    ]);
  });
});
