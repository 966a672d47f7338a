module.exports = {
  collectCoverageFrom: ['src/**/*.ts', '!src/__tests__/**'],
  coverageReporters: ['text', 'json-summary', 'lcovonly'],
  coverageThreshold: { global: { branches: 85, functions: 85, lines: 85, statements: 85 } },
  modulePathIgnorePatterns: ['<rootDir>/cell_monitor/', '<rootDir>/lib/'],
  testEnvironment: 'jsdom',
  testMatch: ['<rootDir>/src/__tests__/*.spec.ts'],
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.test.json' }] }
};
