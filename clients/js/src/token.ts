/** The maximum delay of a timer, in milliseconds. */
export const MAX_DELAY = 2 ** 31 - 1;

/**
 * Returns the milliseconds until a token has to be renewed, with jitter. The token is renewed before the service ends its stream,
 * which happens up to a twentieth of the remaining lifetime before the expiry.
 */
export function renewal(token: string): number | undefined {
  const expires = expiry(token);
  if (expires === undefined) return undefined;
  return Math.min(MAX_DELAY, (expires * 1000 - Date.now()) * (0.85 + Math.random() * 0.05));
}

/** Returns the `exp` of a JSON Web Token, in seconds since 1970; `undefined` for any other token. */
function expiry(token: string): number | undefined {
  try {
    const claims = atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/"));
    const { exp } = JSON.parse(claims) as { exp?: unknown };
    return typeof exp === "number" ? exp : undefined;
  } catch {
    return undefined;
  }
}
