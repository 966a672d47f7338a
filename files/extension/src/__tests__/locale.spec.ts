import { readdirSync, readFileSync } from 'fs';
import { join } from 'path';

import schema from '../../schema/plugin.json';

const root = join(__dirname, '..', '..');
const path = join(root, 'cell_monitor', 'locale', 'ja_JP', 'LC_MESSAGES', 'cell_monitor.json');
const japanese = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string[]>;

function textsOfTheCode(): string[] {
  const sources = readdirSync(join(root, 'src')).filter(name => name.endsWith('.ts'));
  return sources.flatMap(name => {
    const source = readFileSync(join(root, 'src', name), 'utf8');
    return [...source.matchAll(/\.__\(\s*(['"`])((?:\\.|(?!\1)[^\\])+)\1/gs)].map(match =>
      match[2]!.replace(/\\(.)/g, '$1')
    );
  });
}

function textsOfTheSchema(): string[] {
  return [
    `schema\u0004${schema.title}`,
    `schema\u0004${schema.description}`,
    ...Object.values(schema.properties).flatMap(({ title, description }) => [
      `settings\u0004${title}`,
      `settings\u0004${description}`
    ])
  ];
}

describe('the Japanese texts', () => {
  const keys = Object.keys(japanese).filter(key => key !== '');

  it('are those that the code and the schema have', () => {
    expect(keys).toEqual([...new Set([...textsOfTheCode(), ...textsOfTheSchema()])].sort());
  });

  it('say something', () => {
    expect(keys.filter(key => !japanese[key]?.[0])).toEqual([]);
  });

  it('are of this version', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(japanese['']).toMatchObject({ domain: 'cell_monitor', version });
  });
});
