// Bursts of large events, and how far a client is behind in them. The times are measured in this page, from before the publication until
// the client has parsed the event.

export const BURST_EVENTS = 200;
export const BURST_TYPE = "burst";

// The events of a burst have 80 MiB, because Chromium itself takes 64 MiB from the service for a page that does not read. Firefox and WebKit take
// everything, so that the service has no slow client there.
const FILLING = "x".repeat(400 * 1024);
const PAGE = `${Date.now()}`; // tells the events of this page from those of another tab
const START = `{"page":"${PAGE}","number":`;

let number = 0;

/** Returns the content of the next event of a burst, with its number. */
export function nextLargeEvent() {
  number += 1;
  return { number, content: `${START}${number},"filling":"${FILLING}"}` };
}

/** The progress of one client. */
export class Progress {
  #element;
  #expected = []; // the published events that have not arrived yet, in their order
  #total = 0;
  #received = 0;
  #missing = 0;
  #slowest = 0;

  constructor(element) {
    this.#element = element;
  }

  get behind() {
    return this.#expected.length;
  }

  begin() {
    this.#total = BURST_EVENTS;
    this.#received = this.#missing = this.#slowest = 0;
    this.#element.hidden = false;
    this.#show();
  }

  published(number) {
    this.#expected.push({ number, at: performance.now() });
    this.#show();
  }

  /** Ends a burst whose event with this number was not published. */
  abort(number) {
    this.#expected = this.#expected.filter((event) => event.number !== number);
    this.#total = this.#received + this.#missing + this.#expected.length;
    this.#show();
  }

  /** Records the event with this content, if this page has published it in a burst. Returns the result if it is the last one. */
  received(content) {
    if (!content.startsWith(START)) return "";
    const received = parseInt(content.slice(START.length), 10);
    const index = this.#expected.findIndex(({ number }) => number === received);
    if (index < 0) return "";
    // The events of a stream are in order, so those that were passed over do not arrive any more.
    this.#missing += index;
    this.#received += 1;
    const { at } = this.#expected.splice(0, index + 1).at(-1);
    this.#slowest = Math.max(this.#slowest, performance.now() - at);
    this.#show();
    return this.#isComplete ? this.#text() : "";
  }

  get #isComplete() {
    return this.#received + this.#missing === this.#total;
  }

  #show() {
    const [bar, text] = this.#element.children;
    bar.max = this.#total;
    bar.value = this.#received;
    text.textContent = this.#text();
  }

  #text() {
    const arrived = `${this.#received} of ${this.#total} events`;
    const missing = `${this.#missing || "none"} missing`;
    if (!this.#isComplete) return `${arrived}, ${this.behind} behind`;
    return `${arrived}, in order, ${missing}; the slowest event took ${(this.#slowest / 1000).toFixed(2)} s`;
  }
}
