// What the page's scripts share: its elements, and texts.

export const byId = (id) => document.getElementById(id);
export const copyOf = (template) => byId(template).content.firstElementChild.cloneNode(true);
export const clock = (date = new Date()) => date.toTimeString().slice(0, 8);
export const events = (number) => (number === 1 ? "1 event" : `${number} events`);

/** Returns the text of the problem details. A proxy may have answered without any. */
export async function problem(response) {
  const { title = response.statusText, detail = "no details" } = await response.json().catch(() => ({}));
  return `${response.status} ${title}: ${detail}`;
}
