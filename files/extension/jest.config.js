module.exports = {
  collectCoverageFrom: ['src/**/*.ts', '!src/__tests__/**'],
  coverageReporters: ['text-summary', 'json-summary', 'lcov'],
  testEnvironment: 'jsdom',
  testMatch: ['<rootDir>/src/__tests__/*.spec.ts'],
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.test.json' }] }
};
