#!/bin/bash
# The operations document's way from one wheel to another, as root on the server, and back: it is the same. Its pause of
# ten seconds before the health check is left out.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { echo "== $*"; }

export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
lab=/opt/jupyterlab/venv events=/opt/event-server/venv backup=/opt/backup/extensions

step "Copy the folder back"
[ -e $backup ] || { mkdir --parents ${backup%/*} && cp -r $lab/share/jupyter/labextensions $backup; }
rm -rf $lab/share/jupyter/labextensions
cp -r $backup $lab/share/jupyter/labextensions

step "Install the wheels"
$lab/bin/pip --quiet install --force-reinstall dist/cell_monitor-*.whl
$events/bin/pip --quiet install --force-reinstall dist/event_server-*.whl

step "Restart the services"
systemctl restart jupyterlab event-server
