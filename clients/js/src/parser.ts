/** The fields between two empty lines of an event stream (WHATWG HTML, 9.2.6), or a reconnection time, which applies at once. */
export interface Block {
  type?: string;
  /** Missing in a block with only an id or a comment. */
  data?: string;
  id?: string;
  retry?: number;
  comment?: string;
}

/** Returns a parser that is fed with non-empty pieces of a stream and passes its blocks to `onBlock`. */
export function parser(onBlock: (block: Block) => void): (piece: string) => void {
  let rest = "";
  let afterReturn = false;
  let block: Block = {};

  function read(line: string): void {
    const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === "") block.comment = value;
    if (field === "event") block.type = value;
    if (field === "data") block.data = block.data === undefined ? value : `${block.data}\n${value}`;
    if (field === "id" && !value.includes("\0")) block.id = value;
    if (field === "retry" && /^\d+$/.test(value)) onBlock({ retry: Number(value) });
  }

  return (piece) => {
    // A line break of two characters may be cut in half; its carriage return has ended the line already.
    const lines = (rest + (afterReturn ? piece.replace(/^\n/, "") : piece)).split(/\r\n?|\n/);
    afterReturn = piece.endsWith("\r");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line) {
        read(line);
      } else {
        onBlock(block);
        block = {};
      }
    }
  };
}
