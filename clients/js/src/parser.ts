/** The fields between two empty lines of an event stream (WHATWG HTML, 9.2.6). */
export interface Block {
  type?: string;
  /** Missing in a block with only an id, a reconnection time or a comment. */
  data?: string;
  id?: string;
  retry?: number;
  comment?: string;
}

/** Returns a parser that is fed with pieces of a stream and passes its blocks to `onBlock`. */
export function parser(onBlock: (block: Block) => void): (piece: string) => void {
  let rest = "";
  let block: Block = {};
  return (piece) => {
    // A carriage return at the end can be the first half of a line break.
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line) {
        read(line, block);
      } else {
        onBlock(block);
        block = {};
      }
    }
  };
}

function read(line: string, block: Block): void {
  const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
  if (field === "") block.comment = value;
  if (field === "event") block.type = value;
  if (field === "data") block.data = block.data === undefined ? value : `${block.data}\n${value}`;
  if (field === "id" && !value.includes("\0")) block.id = value;
  if (field === "retry" && /^\d+$/.test(value)) block.retry = Number(value);
}
