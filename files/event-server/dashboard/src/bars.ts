import type { IBar, IExecution } from './model.ts';

/** A number that is a good end of an axis: 1, 2, 5, 10, 20 ... */
export function axisEnd(highest: number): number {
  let step = 1;
  for (;;) {
    for (const factor of [1, 2, 5]) {
      if (factor * step >= highest) {
        return factor * step;
      }
    }
    step *= 10;
  }
}

const MINUTE = 60_000;
const WIDTHS = [1, 2, 5, 10, 15, 30, 60, 180, 360, 720, 1440].map(minutes => minutes * MINUTE);
const MOST_BARS = 24;

/** A student's executions over time, in bars of a round width that end now. */
export function barsOf(executions: readonly IExecution[], now: number): IBar[] {
  const times = executions.map(execution => Date.parse(execution.eventTime)).filter(t => t <= now);
  const first = Math.min(...times, now - 30 * MINUTE);
  const width = WIDTHS.find(each => (now - first) / each < MOST_BARS - 1) ?? 1440 * MINUTE;
  const start = Math.floor(first / width) * width;
  const bars: IBar[] = [];
  for (let time = start; time <= now; time += width) {
    bars.push({
      time: new Date(time).toISOString(),
      executionCount: 0,
      errorCount: 0,
      helpCount: 0
    });
  }
  for (const execution of executions) {
    const bar = bars[Math.floor((Date.parse(execution.eventTime) - start) / width)];
    if (bar) {
      bar.executionCount += 1;
      bar.errorCount += execution.hasError ? 1 : 0;
    }
  }
  return bars;
}
