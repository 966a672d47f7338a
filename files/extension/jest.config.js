module.exports = {
  collectCoverageFrom: ['src/**/*.ts', '!src/__tests__/**'],
  coverageReporters: ['text', 'json-summary', 'lcovonly'],
  modulePathIgnorePatterns: ['<rootDir>/cell_monitor/', '<rootDir>/lib/'],
  testEnvironment: 'jsdom',
  testMatch: ['<rootDir>/src/__tests__/*.spec.ts'],
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.test.json' }] }
};
