// The timeline of a connection: when it was live, when it was cut, and what happened meanwhile.

import { clock, copyOf, events } from "./document.js";

const MAX_PERIODS = 4;

export class Timeline {
  #list;
  #period = null; // the current one

  constructor(list) {
    this.#list = list;
  }

  /** Begins a period in which events are received. `resumedAfter` is the id of the last event before it, or empty. */
  live(resumedAfter) {
    const isResumed = this.#period?.kind === "cut" && resumedAfter !== "";
    this.#begin("live", "received");
    if (!isResumed) return;
    const id = Object.assign(document.createElement("code"), { textContent: resumedAfter });
    this.#period.part(".resumed").append("resumed after ", id);
  }

  /** Begins a period in which events are published but not received. */
  cut() {
    if (this.#period?.kind !== "cut") this.#begin("cut", "published meanwhile");
  }

  received() {
    if (this.#period?.kind === "live") this.#count();
  }

  published() {
    if (this.#period?.kind === "cut") this.#count();
  }

  #begin(kind, counted) {
    this.#end();
    const element = copyOf("period");
    const period = { kind, counted, events: 0, began: new Date(), part: (selector) => element.querySelector(selector) };
    this.#period = period;
    element.dataset.kind = period.part("strong").textContent = kind;
    period.part(".time").textContent = `since ${clock(period.began)}`;
    this.#list.append(element);
    if (this.#list.children.length > MAX_PERIODS) this.#list.firstElementChild.remove();
    this.#showCount();
  }

  #end() {
    if (!this.#period) return;
    const { began, part } = this.#period;
    const ended = new Date();
    const seconds = Math.round((ended - began) / 1000);
    part(".time").textContent = `${clock(began)} to ${clock(ended)} (${seconds} s)`;
  }

  #count() {
    this.#period.events += 1;
    this.#showCount();
  }

  #showCount() {
    const { events: number, counted, part } = this.#period;
    part(".counted").textContent = `${events(number)} ${counted}`;
  }
}
