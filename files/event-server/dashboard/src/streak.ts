import type { IExecution } from './model.ts';

/** The error that a student is stuck at: the latest of the cell that has failed most often in a row. */
export function stuckAt(latestFirst: readonly IExecution[]): string | null {
  const succeeded = new Set<string>();
  const streaks = new Map<string, { length: number; message: string | null }>();
  for (const run of latestFirst) {
    const cell = JSON.stringify([run.notebookPath, run.cellId ?? run.cellIndex]);
    if (!run.hasError) {
      succeeded.add(cell);
    } else if (!succeeded.has(cell)) {
      const streak = streaks.get(cell) ?? { length: 0, message: run.errorMessage };
      streak.length += 1;
      streaks.set(cell, streak);
    }
  }
  const [longest] = [...streaks.values()].sort((a, b) => b.length - a.length);
  return longest?.message ?? null;
}
