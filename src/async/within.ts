/** What is promised, or `undefined` after so many milliseconds. Whatever it is that comes later is nobody's. */
export async function within<T>(ms: number, promised: Promise<T> | undefined): Promise<T | undefined> {
  if (!promised) return undefined;
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(late.resolve, ms);
  try {
    return await Promise.race([promised, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
