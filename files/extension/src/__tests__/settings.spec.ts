import schema from '../../schema/plugin.json';
import { isTeamName, readSettings, whoReports } from '../settings';

const defaults = Object.fromEntries(
  Object.entries(schema.properties).map(([key, property]) => [key, property.default])
);

describe('team names', () => {
  it.each(['チームA', 'チームZ', 'チーム1', 'チーム99'])('takes %s', name => {
    expect(isTeamName(name)).toBe(true);
  });

  it.each([
    'チーム0',
    'チーム01',
    'チーム100',
    'チームAA',
    'チームa',
    'team1',
    '',
    'チームA\n',
    ' チームA'
  ])('refuses %j', name => {
    expect(isTeamName(name)).toBe(false);
  });

  it('are those of the schema', () => {
    expect(schema.properties.teamName.pattern).toBe('^チーム([A-Z]|[1-9][0-9]?)$');
  });
});

describe('settings', () => {
  it('has the keys and defaults of the schema', () => {
    expect(readSettings(defaults)).toEqual(defaults);
    expect(defaults).toEqual({
      serverUrl: 'http://fastapi:8000/api/v1/events',
      teamName: 'チームA',
      emailAddress: '',
      userName: '',
      retryAttempts: 3,
      showNotifications: false,
      animationEnabled: false,
      includeCode: true,
      includeOutputs: true
    });
  });

  it('takes no value of a wrong type', () => {
    expect(
      readSettings({ serverUrl: 7, teamName: null, retryAttempts: '3', showNotifications: 'yes' })
    ).toMatchObject({ serverUrl: '', teamName: '', retryAttempts: 0, showNotifications: false });
  });

  it.each([
    [undefined, true],
    [true, true],
    [false, false],
    ['no', false]
  ])('takes %j for a consent to send as %j', (given, read) => {
    expect(readSettings({ includeCode: given, includeOutputs: given })).toMatchObject({
      includeCode: read,
      includeOutputs: read
    });
  });

  it.each([
    [0, 0],
    [10, 10],
    [11, 10],
    [-1, 0],
    [2.5, 0]
  ])('reads %d retries as %d', (given, read) => {
    expect(readSettings({ retryAttempts: given }).retryAttempts).toBe(read);
  });
});

describe('who reports', () => {
  const hub = { emailAddress: 'hanako', userName: 'Hanako' };
  const settings = (emailAddress: string, userName: string) =>
    readSettings({ ...defaults, emailAddress, userName });

  it('is nobody without settings and hub', () => {
    expect(whoReports(settings('', ''), null)).toBeNull();
  });

  it('is nobody when only half is known', () => {
    expect(whoReports(settings('taro@example.com', ' '), null)).toBeNull();
    expect(whoReports(settings('', '太郎'), null)).toBeNull();
  });

  it('is never a mixture of the settings and the hub', () => {
    expect(whoReports(settings('taro@example.com', ''), hub)).toEqual(hub);
  });

  it('is who the settings say', () => {
    expect(whoReports(settings(' taro@example.com ', '太郎'), hub)).toEqual({
      emailAddress: 'taro@example.com',
      userName: '太郎'
    });
  });
});
