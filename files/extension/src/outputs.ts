/** Long texts would cost the student's browser more than they tell the instructor. */
export const MAX_CODE_LENGTH = 20_000;
export const MAX_RESULT_LENGTH = 10_000;
export const MAX_ERROR_LENGTH = 2_000;

/** The parts of an nbformat output that are read here. */
export interface IOutput {
  readonly output_type: string;
  readonly [key: string]: unknown;
}

/** Cuts a text, and shows that it did. */
export function cut(text: string, length: number): string {
  if (text.length <= length) {
    return text;
  }
  // Half a surrogate pair is no text any more.
  const end = /[\ud800-\udbff]/.test(text.charAt(length - 2)) ? length - 2 : length - 1;
  return `${text.slice(0, end)}…`;
}

function multiline(value: unknown): string {
  if (Array.isArray(value)) {
    return value.join('');
  }
  return typeof value === 'string' ? value : '';
}

/** What a cell printed, followed by the text form of its last result. */
export function resultOf(outputs: readonly IOutput[]): string {
  let printed = '';
  let last = '';
  for (const output of outputs) {
    if (output.output_type === 'stream') {
      printed += multiline(output.text);
    } else if (['execute_result', 'display_data'].includes(output.output_type)) {
      const data = output.data as Readonly<Record<string, unknown>> | undefined;
      last = multiline(data?.['text/plain']) || last;
    }
  }
  const parts = [printed.trimEnd(), last].filter(part => part !== '');
  return cut(parts.join('\n'), MAX_RESULT_LENGTH);
}

/** The error among a cell's outputs as `ename: evalue`, null where there is none. */
export function errorOf(outputs: readonly IOutput[]): string | null {
  const error = outputs.find(output => output.output_type === 'error');
  return error ? errorMessage(error.ename, error.evalue) : null;
}

/** An error as the wire format writes it. */
export function errorMessage(ename: unknown, evalue: unknown): string {
  return cut(`${multiline(ename)}: ${multiline(evalue)}`, MAX_ERROR_LENGTH);
}
