import type { ISettingRegistry } from '@jupyterlab/settingregistry';

import schema from '../../schema/plugin.json';
import { lockedSettings, settingsTransform } from '../transform';

let option = '';
jest.mock('@jupyterlab/coreutils', () => ({ PageConfig: { getOption: () => option } }));

const japanese: Record<string, string> = {
  'schema Cell Monitor': 'セル・モニター',
  'settings Team': 'チーム名'
};
const trans = {
  __: (text: string) => text,
  _p: (context: string, text: string) => japanese[`${context} ${text}`] ?? text
} as never;

/** What the server hands out, with the site's values as defaults. */
function fetched(
  user: Record<string, string | boolean>,
  site: Record<string, string> = {}
): ISettingRegistry.IPlugin {
  const properties = Object.fromEntries(
    Object.entries(schema.properties).map(([key, property]) => [
      key,
      { ...property, ...(key in site && { default: site[key] }) }
    ])
  );
  const defaults = Object.fromEntries(
    Object.entries(properties).map(([key, property]) => [key, property.default])
  );
  return {
    id: 'cell-monitor:plugin',
    version: '1.2.0',
    raw: JSON.stringify(user),
    schema: { ...schema, properties } as never,
    data: { composite: { ...defaults, ...user }, user }
  };
}

function transform(plugin: ISettingRegistry.IPlugin, locked: string[] = []) {
  const { fetch, compose } = settingsTransform(trans, new Set(locked));
  return compose(fetch(plugin));
}

describe('the locked settings', () => {
  it.each([
    ['', []],
    ['["teamName","serverUrl"]', ['teamName', 'serverUrl']],
    ['["teamName",7]', ['teamName']],
    ['{"teamName":true}', []],
    ['teamName', []]
  ])('of %j', (given, keys) => {
    option = given;
    expect([...lockedSettings()]).toEqual(keys);
  });

  it('are shown read-only, with the reason, however often they are fetched', () => {
    const { fetch } = settingsTransform(trans, new Set(['teamName', 'unknown']));
    const { properties } = fetch(fetch(fetched({}))).schema;
    expect(properties!.teamName).toMatchObject({
      readOnly: true,
      description: `${schema.properties.teamName.description} Your administrator has set this.`
    });
    expect(properties!.userName).not.toHaveProperty('readOnly');
    expect(properties).not.toHaveProperty('unknown');
  });

  it("have the site's value, whatever the student's file says", () => {
    const site = { teamName: 'チームC' };
    const plugin = fetched({ teamName: 'チームZ', userName: '太郎' }, site);
    const { data, raw } = transform(plugin, ['teamName']);
    expect(data.composite).toMatchObject({ teamName: 'チームC', userName: '太郎' });
    expect(data.user).toEqual({ userName: '太郎' });
    expect(JSON.parse(raw)).toEqual({ userName: '太郎' });
  });

  it('leave alone what is not locked', () => {
    const plugin = fetched({ teamName: 'チームZ' });
    expect(transform(plugin, ['serverUrl'])).toMatchObject({ data: plugin.data, raw: plugin.raw });
  });
});

describe('the identity of v1.1', () => {
  const stock = { emailAddress: 'student001@example.com', userName: 'テスト学生001' };

  it("counts for nothing in a student's file", () => {
    const { data } = transform(fetched({ ...stock, teamName: 'チームZ' }));
    expect(data.composite).toMatchObject({ emailAddress: '', userName: '', teamName: 'チームZ' });
    expect(transform(fetched({ ...stock, userName: '太郎' })).data.composite).toMatchObject({
      emailAddress: '',
      userName: '太郎'
    });
  });

  it('is one that the site may set', () => {
    expect(transform(fetched({}, stock)).data.composite).toMatchObject(stock);
  });
});

describe('the schema', () => {
  it('is translated', () => {
    const { title, description, properties } = transform(fetched({})).schema;
    expect(title).toBe('セル・モニター');
    expect(description).toBe(schema.description);
    expect(properties!.teamName!.title).toBe('チーム名');
  });

  it('has no format, which the validator would complain about, and still checks the address', () => {
    const { serverUrl } = transform(fetched({})).schema.properties!;
    expect(serverUrl).not.toHaveProperty('format');
    expect(schema.properties.serverUrl.format).toBe('uri');
    const pattern = new RegExp(serverUrl!.pattern as string, 'u');
    for (const url of [
      schema.properties.serverUrl.default,
      'https://monitor.school.jp/api/v1/events',
      'http://[fd00::1]:8000/api/v1/events?a=b'
    ]) {
      expect(pattern.test(url)).toBe(true);
    }
    for (const url of [
      '',
      'monitor.school.jp',
      'ftp://a/b',
      'http://',
      'http:///x',
      'http://a b'
    ]) {
      expect(pattern.test(url)).toBe(false);
    }
  });

  it('takes the settings of a newer release, so that a rollback does not lose the known ones', () => {
    expect(schema).not.toHaveProperty('additionalProperties');
  });
});
