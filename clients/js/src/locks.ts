/** The locks of the origin; missing in Node 20, and in browsers without `https:`. */
export const locks: LockManager | undefined = (globalThis as Partial<typeof globalThis>).navigator?.locks;
