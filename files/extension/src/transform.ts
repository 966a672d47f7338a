import { PageConfig } from '@jupyterlab/coreutils';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { TranslationBundle } from '@jupyterlab/translation';

/** What v1.1's schema gave every student who had not said who they are. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  emailAddress: 'student001@example.com',
  userName: 'テスト学生001'
};

type Transforms = Record<ISettingRegistry.IPlugin.Phase, ISettingRegistry.IPlugin.Transform>;

/** The settings that the administrator has locked; a page configuration that makes no sense locks nothing. */
export function lockedSettings(): ReadonlySet<string> {
  try {
    const keys: unknown = JSON.parse(PageConfig.getOption('cellMonitorLocked') || '[]');
    return new Set(Array.isArray(keys) ? keys.filter(key => typeof key === 'string') : []);
  } catch {
    return new Set();
  }
}

/**
 * How JupyterLab's setting registry is to treat our settings.
 *
 * It may hand back what it was given before: doing it twice changes nothing more.
 */
export function settingsTransform(
  trans: TranslationBundle,
  locked: ReadonlySet<string>
): Transforms {
  return { fetch: present(trans, locked), compose: plugin => keepOut(plugin, locked) };
}

/**
 * Translates the schema, which JupyterLab's server does for language packs only, and marks what is locked.
 *
 * `format` is left out: JupyterLab's validator knows none, and says so on the console. `pattern` checks the value.
 */
function present(
  trans: TranslationBundle,
  locked: ReadonlySet<string>
): ISettingRegistry.IPlugin.Transform {
  const translate = <T extends { title?: string; description?: string }>(
    texts: T,
    context: string
  ): T => ({
    ...texts,
    ...(texts.title && { title: trans._p(context, texts.title) }),
    ...(texts.description && { description: trans._p(context, texts.description) })
  });
  const lock = (property: ISettingRegistry.IProperty): ISettingRegistry.IProperty => ({
    ...property,
    readOnly: true,
    description: [property.description, trans.__('Your administrator has set this.')]
      .filter(Boolean)
      .join(' ')
  });
  return plugin => {
    const properties = Object.entries(plugin.schema.properties ?? {}).map(([key, given]) => {
      const property = translate(given, 'settings');
      delete property.format;
      return [key, locked.has(key) && !property.readOnly ? lock(property) : property] as const;
    });
    return {
      ...plugin,
      schema: {
        ...translate(plugin.schema, 'schema'),
        properties: Object.fromEntries(properties)
      }
    };
  };
}

/** Gives the site's value to what is locked, and to who a student of v1.1 seemed to be, whatever the student's file says. */
function keepOut(
  plugin: ISettingRegistry.IPlugin,
  locked: ReadonlySet<string>
): ISettingRegistry.IPlugin {
  const user = { ...plugin.data.user };
  const composite = { ...plugin.data.composite };
  const refused = Object.keys(user).filter(
    key => locked.has(key) || user[key] === PLACEHOLDERS[key]
  );
  if (refused.length === 0) {
    return plugin;
  }
  for (const key of refused) {
    delete user[key];
    composite[key] = plugin.schema.properties?.[key]?.default;
  }
  // The registry saves `raw`, and the JSON editor shows it.
  return { ...plugin, raw: JSON.stringify(user, null, 2), data: { composite, user } };
}
