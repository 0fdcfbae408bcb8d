/**
 * Makes `navigator.language` one that `Intl` takes, for libraries that hand it on unseen. A browser that was
 * started without a locale says `en-US@posix`, which is a RangeError there, and the page would stay empty.
 * To be imported before such a library.
 */

/** The first of the names, or of what they become without their modifier, that `Intl` takes; else English. */
export function usableLocale(names: readonly string[]): string {
  const candidates = names.flatMap((name) => [name, name.replace(/[@.].*$/, '').replace('_', '-')]);
  return candidates.find(isUsable) ?? 'en';
}

function isUsable(name: string): boolean {
  try {
    return Intl.NumberFormat.supportedLocalesOf(name).length > 0;
  } catch {
    return false;
  }
}

const { navigator: browser, document } = globalThis as {
  navigator?: { readonly language: string; readonly languages: readonly string[] };
  document?: object;
};
if (document !== undefined && browser !== undefined && !isUsable(browser.language)) {
  const value = usableLocale([browser.language, ...browser.languages]);
  Object.defineProperty(browser, 'language', { value, configurable: true });
}
