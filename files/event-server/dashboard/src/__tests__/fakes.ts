import type { IExecution, IOverview, IStudent } from '../model.ts';

export function student(email: string, fields: Partial<IStudent> = {}): IStudent {
  return {
    emailAddress: email,
    userName: email,
    teamName: 'チームA',
    currentNotebook: null,
    lastActivity: '2026-01-01T00:00:00.000Z',
    status: 'active',
    isRequestingHelp: false,
    cellExecutions: 0,
    errorCount: 0,
    consecutiveErrorCount: 0,
    hasSignificantError: false,
    ...fields
  };
}

export function asking(email: string, fields: Partial<IStudent> = {}): IStudent {
  return student(email, { isRequestingHelp: true, status: 'help', ...fields });
}

export function overview(...students: IStudent[]): IOverview {
  return {
    students,
    metrics: {
      totalStudents: students.length,
      totalActive: 0,
      errorCount: 0,
      significantErrorCount: 0,
      totalExecutions: 0,
      helpCount: 0
    },
    activityChart: [
      { time: '2026-01-01T00:00:00.000Z', executionCount: 1, errorCount: 0, helpCount: 0 }
    ]
  };
}

export function run(fields: Partial<IExecution> = {}): IExecution {
  return {
    eventId: 'e',
    eventTime: '2026-01-01T00:00:00.000Z',
    notebookPath: 'a.ipynb',
    cellId: null,
    cellIndex: null,
    cellType: 'code',
    code: '',
    executionCount: null,
    hasError: false,
    errorMessage: null,
    result: null,
    executionDurationMs: null,
    ...fields
  };
}
