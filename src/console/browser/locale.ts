/**
 * Makes `navigator.language` a locale that `Intl` accepts, for libraries that pass it on unchecked. In a browser
 * that was started without a locale it is `en-US@posix`, for which `Intl` throws a RangeError, and the page would
 * stay empty. Import this module before such a library.
 */

/** Returns the first of the names, with or without its modifier, that `Intl` accepts; English if there is none. */
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
