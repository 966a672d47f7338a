import {
  cut,
  errorMessage,
  errorOf,
  MAX_ERROR_LENGTH,
  MAX_RESULT_LENGTH,
  resultOf
} from '../outputs';

const stream = (text: string | string[], name = 'stdout') => ({
  output_type: 'stream',
  name,
  text
});
const result = (plain: unknown, output_type = 'execute_result') => ({
  output_type,
  data: { 'text/plain': plain, 'text/html': '<b>no</b>' }
});

describe('cut', () => {
  it('leaves what fits', () => {
    expect(cut('abc', 3)).toBe('abc');
  });

  it('shows that it cut, and never splits a character', () => {
    expect(cut('abcd', 3)).toBe('ab…');
    expect(cut('a🙂bc', 3)).toBe('a…');
    expect(cut('🙂🙂', 3)).toBe('🙂…');
  });
});

describe('resultOf', () => {
  it.each([
    [[], ''],
    [[stream('42\n')], '42'],
    [[stream(['a\n', 'b\n']), stream('c\n', 'stderr')], 'a\nb\nc'],
    [[result("'y'")], "'y'"],
    [[result(['1\n', '2'])], '1\n2'],
    [[stream('x\n'), result('1', 'display_data'), result('2')], 'x\n2'],
    [[result('1'), { output_type: 'display_data', data: { 'image/png': '…' } }], '1'],
    [[{ output_type: 'display_data' }], ''],
    [[result(7)], '']
  ])('of %j is %j', (outputs, text) => {
    expect(resultOf(outputs)).toBe(text);
  });

  it('has a limit', () => {
    expect(resultOf([stream('x'.repeat(MAX_RESULT_LENGTH + 1))])).toHaveLength(MAX_RESULT_LENGTH);
  });
});

describe('errors', () => {
  it('are found among the outputs', () => {
    const error = { output_type: 'error', ename: 'ZeroDivisionError', evalue: 'division by zero' };
    expect(errorOf([stream('x'), error])).toBe('ZeroDivisionError: division by zero');
    expect(errorOf([stream('x')])).toBeNull();
  });

  it('have a limit', () => {
    expect(errorMessage('E', 'x'.repeat(MAX_ERROR_LENGTH))).toHaveLength(MAX_ERROR_LENGTH);
    expect(errorMessage('E', undefined)).toBe('E: ');
  });
});
