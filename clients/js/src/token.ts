/** The longest time that a timer takes. */
const LONGEST = 2 ** 31 - 1;

/**
 * After how many milliseconds a token has to be renewed: before it ends, and before the service ends the stream for it, which it
 * does up to a twentieth of the time early. Tokens that were made together are not renewed together.
 */
export function renewal(token: string): number | undefined {
  const ends = expiry(token);
  if (ends === undefined) return undefined;
  return Math.min(LONGEST, (ends * 1000 - Date.now()) * (0.85 + Math.random() * 0.05));
}

/** The `exp` of a JSON Web Token; of any other token nobody knows. */
function expiry(token: string): number | undefined {
  try {
    const claims = atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/"));
    const { exp } = JSON.parse(claims) as { exp?: unknown };
    return typeof exp === "number" ? exp : undefined;
  } catch {
    return undefined;
  }
}
