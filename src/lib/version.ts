/** The version in package.json, which is not in the image. */
export const VERSION = '0.1.0';
