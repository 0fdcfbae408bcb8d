import { expect, test } from 'vitest';
import { errorText, redactedErrorText } from '../../src/lib/error-text.ts';

test('an error without a message is named by its code', () => {
  const error = Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' });
  expect(errorText(error)).toBe('ECONNREFUSED');
  expect(errorText(new RangeError())).toBe('RangeError');
});

test('any thrown value has a text', () => {
  expect(errorText('as text')).toBe('as text');
  expect(errorText(undefined)).toBe('undefined');
  for (const toText of [errorText, redactedErrorText]) {
    expect(toText(Object.create(null))).toBe('a value of type object without a text form');
  }
});

test('a redacted text does not quote an invalid value', () => {
  const invalid = Object.assign(new Error('invalid input syntax: "secret"'), { code: '22P02' });
  expect(redactedErrorText(invalid)).toBe('Error: SQLSTATE 22P02');
  expect(redactedErrorText(new SyntaxError('"secret" is not JSON'))).not.toContain('secret');
  expect(redactedErrorText(new TypeError('no function'))).toBe('TypeError: no function');
});
