import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IToolbarWidgetRegistry, Notification } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { openStore } from './database';
import { EventFactory, type IReporter } from './events';
import { HelpButton } from './helpbutton';
import { HelpMemory, sessionStorageOrNull } from './helpmemory';
import { hubIdentity, Introduction } from './identity';
import { Monitor } from './monitor';
import { askServer, isNewNotice, NoticeBoard, showNotice } from './notice';
import { OtherPages } from './pages';
import { EventQueue } from './queue';
import { quietly } from './quiet';
import { isTeamName, readSettings, whoReports, type IIdentity } from './settings';
import { StatusItem, type IStatus } from './status';
import { openTabs } from './tabs';
import { lockedSettings, settingsTransform } from './transform';
import { CollectorSender, DirectSender } from './transport';

const PLUGIN_ID = 'cell-monitor:plugin';
const ASKED_KEY = 'cell-monitor:asked';
/** Without a time, JupyterLab only counts a notification at its bell. */
const SHOWN = { autoClose: 8000 };

const plugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN_ID,
  description: 'Reports what is run, and who asks for help, to the instructor.',
  autoStart: true,
  requires: [INotebookTracker, ISettingRegistry, IToolbarWidgetRegistry],
  optional: [ITranslator, IStateDB, IStatusBar],
  activate
};

export default plugin;

function activate(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  registry: ISettingRegistry,
  toolbars: IToolbarWidgetRegistry,
  translator: ITranslator | null,
  state: IStateDB | null,
  statusBar: IStatusBar | null
): void {
  const trans = (translator ?? nullTranslator).load('cell_monitor');
  let stored: ISettingRegistry.ISettings | null = null;
  let settings = readSettings({});
  let hubUser: IIdentity | null = null;

  const reporter = (): IReporter | null => {
    const who = stored && whoReports(settings, hubUser);
    return who && isTeamName(settings.teamName) ? { ...who, teamName: settings.teamName } : null;
  };
  const { serverSettings } = app.serviceManager;
  const collects = PageConfig.getOption('cellMonitorCollector') === 'true';
  // A hub serves several users from one origin, and what one way out takes is not for the other.
  const name = `cell-monitor:${collects ? 'collector' : 'direct'}:${PageConfig.getBaseUrl()}`;
  const warn = (text: string): void => {
    if (settings.showNotifications) {
      Notification.warning(text, SHOWN);
    }
  };
  const queue = new EventQueue(
    collects ? new CollectorSender(serverSettings) : new DirectSender(() => settings),
    {
      store: openStore(name),
      tabs: openTabs(name, () => queue.wake()),
      onLost: () => warn(trans.__('Some of your activity could not be sent to the instructor.')),
      onDelayed: () =>
        warn(trans.__('Your activity cannot be sent at the moment. It is kept and sent later.')),
      onDismissed: sessionIds => monitor.dismissed(sessionIds)
    }
  );
  const { contents, user } = app.serviceManager;
  const monitor = new Monitor({
    events: new EventFactory(),
    queue,
    helpMemory: new HelpMemory(
      `${PLUGIN_ID}:help:${PageConfig.getOption('baseUrl')}`,
      sessionStorageOrNull()
    ),
    reporter,
    privacy: () => settings,
    localPath: path => contents.localPath(path),
    onDismissed: () =>
      Notification.info(trans.__('The instructor has seen that you asked for help.'), SHOWN)
  });

  const locked = lockedSettings();
  registry.transform(PLUGIN_ID, settingsTransform(trans, locked));
  const pages = new OtherPages(() => {
    registry.reload(PLUGIN_ID).catch(() => undefined);
  });

  const introduction = new Introduction(trans, async answer => {
    // Both at once: half an identity is nobody's.
    await stored?.save(JSON.stringify({ ...stored.user, ...answer }, null, 2));
  });
  const introduce = async (): Promise<boolean> =>
    stored !== null &&
    !locked.has('userName') &&
    !locked.has('emailAddress') &&
    introduction.ask(settings);
  const askOnce = async (): Promise<void> => {
    if (!stored || whoReports(settings, hubUser) || (await state?.fetch(ASKED_KEY))) {
      return;
    }
    if (await introduce()) {
      await state?.save(ASKED_KEY, true);
    }
  };
  const toggleHelp = async (panel: NotebookPanel): Promise<void> => {
    const request = monitor.help(panel);
    if (request.isOn) {
      request.stop();
      return;
    }
    if (stored && !whoReports(settings, hubUser)) {
      await introduce();
    }
    if (reporter()) {
      request.start();
    } else if (stored && !isTeamName(settings.teamName)) {
      Notification.warning(
        trans.__('Choose your team in the settings of Cell Monitor first.'),
        SHOWN
      );
    }
  };

  const takeSettings = (source: ISettingRegistry.ISettings): void => {
    settings = readSettings(source.composite);
    pages.see(settings);
    if (whoReports(settings, hubUser)) {
      introduction.withdraw();
    }
    document.body.classList.toggle('cm-mod-animated', settings.animationEnabled);
    monitor.reporterChanged();
    queue.wake();
    statusItem.update();
  };

  const status = (): IStatus | null => {
    const missing = whoReports(settings, hubUser) ? 'team' : 'identity';
    return (
      stored && {
        ...queue.state,
        isPersistent: queue.isPersistent,
        missing: reporter() ? null : missing
      }
    );
  };
  const sayMore = (): void => {
    void (
      whoReports(settings, hubUser)
        ? app.commands.execute('settingeditor:open', { query: 'Cell Monitor' })
        : introduce()
    ).catch(() => undefined);
  };
  const statusItem = new StatusItem(trans, status, sayMore);
  statusBar?.registerStatusItem(PLUGIN_ID, { item: statusItem, align: 'left', rank: 100 });
  queue.stateChanged.connect(() => statusItem.update());
  if (collects) {
    new NoticeBoard({
      ask: () => askServer(serverSettings),
      show: notice => showNotice(trans, notice),
      isNew: isNewNotice,
      isAway: () => queue.state.offline
    }).start();
  }

  const texts = {
    label: trans.__('Help'),
    off: trans.__('Ask the instructor for help'),
    on: trans.__('The instructor sees that you ask for help; press again to stop')
  };
  toolbars.addFactory<NotebookPanel>(
    'Notebook',
    'cell-monitor-help',
    panel => new HelpButton(monitor.help(panel), texts, () => void toggleHelp(panel))
  );

  NotebookActions.executionScheduled.connect((_, { cell }) => monitor.scheduled(cell));
  NotebookActions.executed.connect((_, args) => quietly(() => monitor.executed(args)));
  tracker.forEach(panel => monitor.watch(panel));
  tracker.widgetAdded.connect((_, panel) => {
    monitor.watch(panel);
    ready.then(askOnce).catch(() => undefined);
  });
  window.addEventListener('pagehide', () => {
    monitor.leave();
    queue.flush();
  });
  window.addEventListener('online', () => queue.wake());
  queue.wake();

  const ready = (async () => {
    [hubUser, stored] = await Promise.all([
      hubIdentity(user).catch(() => null),
      registry.load(PLUGIN_ID)
    ]);
    stored.changed.connect(takeSettings);
    takeSettings(stored);
    if (tracker.size > 0) {
      await askOnce();
    }
  })().catch(() => undefined);
}
