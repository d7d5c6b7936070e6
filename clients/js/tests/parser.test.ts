import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Block, parser } from "../src/parser.js";

/** Returns the blocks of a stream that arrives in these pieces. */
function parse(...pieces: string[]): Block[] {
  const blocks: Block[] = [];
  const read = parser((block) => blocks.push(block));
  pieces.forEach(read);
  return blocks;
}

describe("the parser", () => {
  const cases: [rule: string, stream: string, blocks: Block[]][] = [
    ["joins lines of data", "data: a\ndata: b\n\n", [{ data: "a\nb" }]],
    ["reads all fields", "event: greeting\nid: 7\ndata: hello\n\n", [{ type: "greeting", id: "7", data: "hello" }]],
    ["reads comments", ": language de\n\n", [{ comment: "language de" }]],
    ["removes one space after the colon", "data:  a\ndata:b\n\n", [{ data: " a\nb" }]],
    ["keeps further colons", "data: a: b\n\n", [{ data: "a: b" }]],
    ["reads a field without a colon as empty", "data\n\n", [{ data: "" }]],
    ["reads a field without a value as empty", "data:\ndata:\n\n", [{ data: "\n" }]],
    ["keeps an id without data", "id: 7\n\n", [{ id: "7" }]],
    ["reads an empty id", "id\n\n", [{ id: "" }]],
    ["ignores an id with a null character", "id: 7\0\ndata: a\n\n", [{ data: "a" }]],
    ["ignores unknown fields, and names in capitals", "datum: a\nData: b\ndata: c\n\n", [{ data: "c" }]],
    [
      "ignores a reconnection time with other characters than digits",
      "retry: 1s\nretry: -1\nretry: 1.5\nretry:\nretry: ١\ndata: a\n\n",
      [{ data: "a" }],
    ],
    ["reports a reconnection time at once", "retry: 100\n", [{ retry: 100 }]],
    ["discards a block without an empty line at its end", "data: a\n\nid: 8\ndata: b\n", [{ data: "a" }]],
    ["keeps other line separators in data", "data: a\u2028b\u0085c\n\n", [{ data: "a\u2028b\u0085c" }]],
  ];
  for (const [rule, stream, blocks] of cases) it(rule, () => assert.deepEqual(parse(stream), blocks));

  it("reads the end of a line as CR, LF or both, wherever the stream is cut", () => {
    const expected = [{ data: "a\nb", id: "7" }, { data: "c" }];
    for (const end of ["\n", "\r", "\r\n"]) {
      const stream = ["data: a", "data: b", "id: 7", "", "data: c", "", ""].join(end);
      assert.deepEqual(parse(...stream), expected, JSON.stringify(end));
      for (let first = 1; first < stream.length; first++) {
        for (let second = first; second < stream.length; second++) {
          const pieces = [stream.slice(0, first), stream.slice(first, second), stream.slice(second)].filter((piece) => piece);
          assert.deepEqual(parse(...pieces), expected, JSON.stringify(pieces));
        }
      }
    }
  });

  it("reads two carriage returns as two ends of lines", () => {
    assert.deepEqual(parse("data: a\r\r"), [{ data: "a" }]);
  });
});
