import { expect, test } from 'vitest';
import { didYouMean, similarName } from '../../src/lib/similar-name.ts';

test.for([
  ['com.shop.payed', 'com.shop.paid'],
  ['com.shop.Paid', 'com.shop.paid'],
  ['com.shop.order-paid', 'com.shop.orderPaid'],
  ['paid', 'com.shop.paid'],
  ['com.shop.paid.v2', 'com.shop.paid'],
  ['com.shop.v1', 'com.shop.v2'],
  ['public.order', 'public.orders'],
  ['pulbic.orders', 'public.orders'],
] as const)('%s may be meant to be %s', ([name, meant]) => {
  expect(similarName(name, ['some.thing.else', meant])).toBe(meant);
  expect(didYouMean(name, [meant])).toBe(`; did you mean ${meant}?`);
});

test.for([
  ['com.shop.sent', 'com.shop.paid'],
  ['com.shop.order.sent', 'com.shop.order.paid'],
  ['public.a', 'public.b'],
  ['com.shop.paid', 'com.shop.paid'],
  ['prepaid', 'paid'],
] as const)('%s is not meant to be %s', ([name, other]) => {
  expect(similarName(name, [other])).toBeNull();
  expect(didYouMean(name, [other])).toBe('');
});

test('the most similar name is suggested', () => {
  expect(similarName('public.orders', ['public.borderz', 'public.order'])).toBe('public.order');
});
