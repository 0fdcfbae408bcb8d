import { expect, test } from 'vitest';
import { errorText, framesOf, redactedErrorText } from '../../src/lib/error-text.ts';

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

test('the frames of an error are those of its stack, not lines of its message', () => {
  const frames = framesOf(new SyntaxError('not JSON:\n    at secret (file.ts:1:1)'))!;
  expect(frames[0]).toContain('error-text.test.ts');
  expect(frames.join('\n')).not.toContain('secret');
  expect(framesOf('thrown')).toBeUndefined();
  expect(framesOf(Object.defineProperty(new Error(), 'stack', { value: 1 }))).toBeUndefined();
});
