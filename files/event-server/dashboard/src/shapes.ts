import { svg } from './dom.ts';
import type { Status } from './model.ts';

// Each has an outline of its own, so that none depends on its colour.
const PATHS: Record<Status, string> = {
  // A raised hand's speech bubble with a question mark.
  help: 'M2 2h12v9H8l-4 3v-3H2z',
  significant_error: 'M8 1l7.5 13.5H.5z',
  error: 'M3 1L1 3l5 5-5 5 2 2 5-5 5 5 2-2-5-5 5-5-2-2-5 5z',
  active: 'M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2z',
  idle: 'M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2zm0 2a4 4 0 1 1 0 8 4 4 0 1 1 0-8z'
};
const MARKS: Partial<Record<Status, string>> = {
  help: 'M7.3 8.9h1.4v1.3H7.3zM5.7 5.3C5.7 3.9 6.6 3 8 3s2.4.8 2.4 2.1c0 1.5-1.7 1.6-1.7 3H7.4c0-1.9 1.6-2 1.6-3 0-.6-.4-.9-1-.9s-1 .4-1 1.1z',
  significant_error: 'M7.2 5.5h1.6v4.6H7.2zM7.2 11.2h1.6v1.6H7.2z'
};

/** The sign of a status; the text beside it names it. */
export function shape(status: Status): SVGSVGElement {
  const mark = MARKS[status];
  return svg(
    'svg',
    { class: `shape ${status}`, viewBox: '0 0 16 16', 'aria-hidden': 'true' },
    svg('path', { d: PATHS[status], class: 'body', 'fill-rule': 'evenodd' }),
    ...(mark ? [svg('path', { d: mark, class: 'mark' })] : [])
  );
}
