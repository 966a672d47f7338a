// Not a module: it runs before the page is painted, so that a dark screen does not flash white.
{
  let theme: string | null = null;
  try {
    theme = localStorage.getItem('dashboard.theme');
  } catch {
    // A browser that keeps nothing.
  }
  if (theme === 'light' || theme === 'dark') {
    document.documentElement.dataset['theme'] = theme;
  }
}
