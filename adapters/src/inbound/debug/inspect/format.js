// Numbers as text.

export const integer = (value) => Math.round(value).toLocaleString();
export const rate = (value) => (value < 10 && value % 1 !== 0 ? value.toFixed(1) : integer(value));
export const time = (seconds) => (seconds < 1 ? `${+(seconds * 1000).toPrecision(2)} ms` : `${+seconds.toPrecision(2)} s`);

export function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${integer(seconds / 86400)} d`;
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${integer(bytes / 1024)} KiB`;
  return `${integer(bytes / 1024 / 1024)} MiB`;
}
