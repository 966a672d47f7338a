// Long texts would cost the student's browser more than they tell the instructor.
/** The longest code that is sent whole, in UTF-16 units, as the others are. */
export const MAX_CODE_LENGTH = 20_000;
/** The longest output that is sent whole. */
export const MAX_RESULT_LENGTH = 10_000;
/** The longest error message that is sent whole. */
export const MAX_ERROR_LENGTH = 2_000;
const CUT = '…';

/** An error as the kernel names it. */
export interface IError {
  readonly name: string;
  readonly value: string;
}

/** Frees a short text from the long one that it is a part of, which would stay in memory with it. */
function copy(text: string): string {
  return JSON.parse(JSON.stringify(text)) as string;
}

/** Half a surrogate pair is no text any more. */
function withoutHalf(text: string): string {
  return text.replace(/^[\udc00-\udfff]|[\ud800-\udbff]$/g, '');
}

/** Cuts a text, and shows that it did. */
export function cut(text: string, length: number): string {
  return text.length <= length ? text : copy(withoutHalf(text.slice(0, length - 1)) + CUT);
}

/** What is kept of a text whose end tells more than its middle. */
function headLength(length: number): number {
  return Math.floor(length / 4);
}

function squeeze(text: string, length: number): string {
  const head = headLength(length);
  return copy(text.slice(0, head) + CUT + text.slice(text.length - (length - head - 1)));
}

/** The head and the tail of a text, in whole lines where they are not too long. */
function headAndTail(text: string, length: number, squeezed: boolean): string {
  const size = headLength(length);
  if (text.length <= (squeezed ? size : length)) {
    return text;
  }
  const head = text.slice(0, size);
  const tail = text.slice(Math.max(text.length - (length - size - 1), squeezed ? size + 1 : 0));
  const end = head.lastIndexOf('\n') + 1;
  const start = tail.indexOf('\n');
  return (
    withoutHalf(end > size / 2 ? head.slice(0, end) : head) +
    CUT +
    withoutHalf(start >= 0 && start < tail.length / 2 ? tail.slice(start) : tail)
  );
}

/** What a terminal shows of lines that were written over, as progress bars do. */
function overwritten(text: string): string {
  if (!text.includes('\r')) {
    return text;
  }
  return text
    .split('\n')
    .map(line => {
      const last = line.replace(/\r$/, '');
      return last.slice(last.lastIndexOf('\r') + 1);
    })
    .join('\n');
}

function multiline(value: unknown): string {
  if (Array.isArray(value)) {
    return value.join('');
  }
  return typeof value === 'string' ? value : '';
}

/** Collects what one execution shows, in little memory however much it is. */
export class Outputs {
  /** The first error among the outputs. */
  get error(): IError | null {
    return this._error;
  }

  /**
   * Takes an output.
   *
   * @param type - the type of a kernel's message, or the `output_type` of a notebook's output.
   * @param content - the message's content, or the output.
   */
  add(type: string, content: Readonly<Record<string, unknown>>): void {
    if (type === 'clear_output') {
      this._clearNext = true;
      if (content.wait !== true) {
        this._clear();
      }
    } else if (type === 'stream') {
      this._clear();
      this._print(multiline(content.text));
    } else if (['execute_result', 'display_data', 'update_display_data'].includes(type)) {
      this._clear();
      const data = content.data as Readonly<Record<string, unknown>> | undefined;
      this._last = cut(multiline(data?.['text/plain']), MAX_RESULT_LENGTH) || this._last;
    } else if (type === 'error') {
      this._clear();
      this._error ??= errorOf(content);
    }
  }

  /** What was printed, followed by the text form of the last result. */
  text(): string {
    const printed = overwritten(this._printed).trimEnd();
    const last = cut(
      this._last,
      Math.max(MAX_RESULT_LENGTH / 2, MAX_RESULT_LENGTH - printed.length - 1)
    );
    const room = last === '' ? MAX_RESULT_LENGTH : MAX_RESULT_LENGTH - last.length - 1;
    const parts = [headAndTail(printed, room, this._squeezed), last];
    return parts.filter(part => part !== '').join('\n');
  }

  private _print(text: string): void {
    this._printed += this._bounded(text, MAX_RESULT_LENGTH);
    // Many times the length, so that many short texts are not copied one by one.
    this._printed = this._bounded(this._printed, 8 * MAX_RESULT_LENGTH);
  }

  private _bounded(text: string, length: number): string {
    if (text.length <= length) {
      return text;
    }
    this._squeezed = true;
    return squeeze(text, MAX_RESULT_LENGTH);
  }

  private _clear(): void {
    if (this._clearNext) {
      this._clearNext = false;
      this._squeezed = false;
      this._printed = '';
      this._last = '';
    }
  }

  private _printed = '';
  private _squeezed = false;
  private _last = '';
  private _clearNext = false;
  private _error: IError | null = null;
}

/** The error of an output or of a kernel's reply. */
export function errorOf(content: Readonly<Record<string, unknown>>): IError {
  return {
    name: cut(multiline(content.ename), MAX_ERROR_LENGTH),
    value: cut(multiline(content.evalue), MAX_ERROR_LENGTH)
  };
}

/** An error as the wire format writes it. */
export function errorMessage({ name, value }: IError): string {
  return cut(`${name}: ${value}`, MAX_ERROR_LENGTH);
}
