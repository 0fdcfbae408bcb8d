/** What the pages of functions share with Muster's own, together with `base.css` and `top.css`. */
export { byId, element } from './element.ts';
export { usableLocale } from './locale.ts';
