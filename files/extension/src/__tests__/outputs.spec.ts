import {
  cut,
  errorMessage,
  errorOf,
  MAX_ERROR_LENGTH,
  MAX_RESULT_LENGTH,
  Outputs
} from '../outputs';

type Output = [string, Record<string, unknown>];

const stream = (text: unknown, name = 'stdout'): Output => ['stream', { name, text }];
const result = (plain: unknown, type = 'execute_result'): Output => [
  type,
  { data: { 'text/plain': plain, 'text/html': '<b>no</b>' } }
];
const clear = (wait: boolean): Output => ['clear_output', { wait }];

function collect(outputs: Output[]): Outputs {
  const collected = new Outputs();
  outputs.forEach(output => collected.add(...output));
  return collected;
}

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

describe('Outputs', () => {
  it.each<[Output[], string]>([
    [[], ''],
    [[stream('42\n')], '42'],
    [[stream(['a\n', 'b\n']), stream('c\n', 'stderr')], 'a\nb\nc'],
    [[result("'y'")], "'y'"],
    [[result(['1\n', '2'])], '1\n2'],
    [[stream('x\n'), result('1', 'display_data'), result('2')], 'x\n2'],
    [[result('1', 'display_data'), result('2', 'update_display_data')], '2'],
    [[result('1'), ['display_data', { data: { 'image/png': '…' } }]], '1'],
    [[['display_data', {}]], ''],
    [[result(7), stream(7), ['comm_open', { data: {} }]], ''],
    [[stream('10 %\r'), stream('20 %\r100 %\ndone\r\n')], '100 %\ndone'],
    [[stream('a'), result('1'), clear(false), stream('b')], 'b'],
    [[stream('a'), clear(true)], 'a'],
    [[stream('a'), clear(true), stream('b')], 'b']
  ])('of %j show %j', (outputs, text) => {
    expect(collect(outputs).text()).toBe(text);
  });

  it('keep the head and more of the tail, in whole lines', () => {
    const lines = Array.from({ length: 5000 }, (_, i) => `line ${i}\n`);
    for (const parts of [[lines.join('')], lines]) {
      const text = collect(parts.map(part => stream(part))).text();
      expect(text.length).toBeLessThanOrEqual(MAX_RESULT_LENGTH);
      expect(text.length).toBeGreaterThan(0.95 * MAX_RESULT_LENGTH);
      const [head, tail, ...more] = text.split('…');
      expect(more).toEqual([]);
      expect(head).toMatch(/^line 0\nline 1\n(line \d+\n)+$/);
      expect(tail).toMatch(/^(\nline \d+)+\nline 4999$/);
      expect(tail!.length).toBeGreaterThan(2 * head!.length);
    }
  });

  it('keep what fits as it is, and cut one long line in its middle', () => {
    const whole = 'x'.repeat(MAX_RESULT_LENGTH);
    expect(collect([stream(whole)]).text()).toBe(whole);
    const cutInTwo = collect([stream('a'), stream(`${whole}b`)]).text();
    expect(cutInTwo).toMatch(/^ax+…x+b$/);
    expect(cutInTwo).toHaveLength(MAX_RESULT_LENGTH);
  });

  it('leave room for the result behind a long print', () => {
    const text = collect([stream('x'.repeat(50_000)), result('y'.repeat(50_000))]).text();
    expect(text).toMatch(/^x+…x+\ny+…$/);
    expect(text).toHaveLength(MAX_RESULT_LENGTH);
    expect(collect([stream('x'.repeat(50_000)), result('42')]).text()).toMatch(/x\n42$/);
  });

  it('forget that they were long when they are cleared', () => {
    expect(collect([stream('x'.repeat(50_000)), clear(true), stream('short')]).text()).toBe(
      'short'
    );
    expect(collect([stream(`${'10 %\r'.repeat(9_000)}done`)]).text()).toBe('done');
  });

  it('take a hundred megabytes without effort', () => {
    const outputs = new Outputs();
    const chunk = 'x'.repeat(1_000_000);
    const started = performance.now();
    for (let i = 0; i < 100; i++) {
      outputs.add(...stream(chunk));
    }
    expect(performance.now() - started).toBeLessThan(2000);
    expect(outputs.text()).toHaveLength(MAX_RESULT_LENGTH);
  });
});

describe('errors', () => {
  it('are found among the outputs', () => {
    const error = { ename: 'ZeroDivisionError', evalue: 'division by zero' };
    const outputs = collect([stream('x'), ['error', error], ['error', { ename: 'Second' }]]);
    expect(errorMessage(outputs.error!)).toBe('ZeroDivisionError: division by zero');
    expect(collect([stream('x')]).error).toBeNull();
  });

  it('have a limit', () => {
    const error = errorOf({ ename: 'E', evalue: 'x'.repeat(MAX_ERROR_LENGTH) });
    expect(errorMessage(error)).toHaveLength(MAX_ERROR_LENGTH);
    expect(errorMessage(errorOf({ ename: 'E' }))).toBe('E: ');
  });
});
