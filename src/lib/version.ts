/** Equals the version in package.json, which the image does not contain. */
export const VERSION = '0.1.0';
