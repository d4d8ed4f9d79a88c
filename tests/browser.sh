# Sourced by tests with a browser, with $scratch set: fetches playwright-core into it and goes there. Needs node and npm,
# and Debian's chromium, which root installs; exits with 77 where there is none. Sets $browser.
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ] && [ "$(id -u)" = 0 ]; then
  (apt-get update && apt-get install -y --no-install-recommends chromium) >/dev/null 2>&1 || true
  browser=$(command -v chromium || true)
fi
[ -n "$browser" ] || { echo "skipped: there is no chromium (apt-get install chromium)" && exit 77; }
command -v node >/dev/null && command -v npm >/dev/null ||
  { echo "skipped: there is no node or npm (apt-get install nodejs npm)" && exit 77; }

mkdir -p "$scratch" && cd "$scratch"
if [ ! -d node_modules/playwright-core ]; then
  echo '{"private": true}' >package.json
  npm install --no-audit --no-fund --silent playwright-core@1.49.1
fi
