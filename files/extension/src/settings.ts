/** The settings of the plugin, as `schema/plugin.json` describes them. */
export interface ISettings {
  readonly serverUrl: string;
  readonly teamName: string;
  readonly emailAddress: string;
  readonly userName: string;
  readonly retryAttempts: number;
  readonly showNotifications: boolean;
  readonly animationEnabled: boolean;
  /** Whether events carry the cells' source. */
  readonly includeCode: boolean;
  /** Whether events carry what cells print and return. */
  readonly includeOutputs: boolean;
}

/** Who reports. */
export interface IIdentity {
  readonly emailAddress: string;
  readonly userName: string;
}

const TEAM = /^チーム([A-Z]|[1-9][0-9]?)$/;
const MAX_RETRIES = 10;

/** Whether a team's name is one that may be sent. */
export function isTeamName(name: string): boolean {
  return TEAM.test(name);
}

/** Reads the composite settings; what has the wrong type counts as not set. */
export function readSettings(composite: Readonly<Record<string, unknown>>): ISettings {
  const text = (key: string): string => {
    const value = composite[key];
    return typeof value === 'string' ? value.trim() : '';
  };
  const retries = composite.retryAttempts;
  return {
    serverUrl: text('serverUrl'),
    teamName: text('teamName'),
    emailAddress: text('emailAddress'),
    userName: text('userName'),
    retryAttempts:
      typeof retries === 'number' && Number.isInteger(retries)
        ? Math.min(MAX_RETRIES, Math.max(0, retries))
        : 0,
    showNotifications: composite.showNotifications === true,
    animationEnabled: composite.animationEnabled === true,
    includeCode: composite.includeCode === undefined || composite.includeCode === true,
    includeOutputs: composite.includeOutputs === undefined || composite.includeOutputs === true
  };
}

/**
 * Who reports: the settings where they say it in full, else the hub's user, else nobody.
 *
 * Half an identity is none: one student's name under another's address would be worse than silence.
 */
export function whoReports(settings: ISettings, hubUser: IIdentity | null): IIdentity | null {
  const { emailAddress, userName } = settings;
  return emailAddress && userName ? { emailAddress, userName } : hubUser;
}
