#!/bin/bash
# What deploy.py compares with: the usual script that builds and installs on the server itself, as root, in the folder
# that the sources were copied to. Every run does all of it again; the caches of pip and Yarn stay.
set -euo pipefail
cd "$(dirname "$0")"
step() { echo "== $*"; }

# A certificate that the machine trusts besides the public ones is unknown to pip and Node otherwise.
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore DEBIAN_FRONTEND=noninteractive
lab=/opt/jupyterlab/venv events=/opt/event-server/venv

step "Debian packages"
apt-get -qq update
apt-get -qq install --yes --no-install-recommends nginx python3-venv >/dev/null

step "Python packages"
python3 -m venv $lab
$lab/bin/pip --quiet install --requirement jupyterlab.txt
python3 -m venv $events
$events/bin/pip --quiet install --requirement event-server.txt

step "npm packages"
export PATH=$lab/bin:$PATH
# As npm ci does, which cannot read Yarn's lock.
for folder in files/extension files/event-server/dashboard; do
    rm -rf $folder/node_modules
    (cd $folder && jlpm install --immutable)
done

step "Front ends"
(cd files/extension && jlpm build:prod)
(cd files/event-server/dashboard && jlpm build)

step "Extension and event server"
rm -rf dist
pip --quiet wheel --no-deps --no-build-isolation --wheel-dir dist files/extension files/event-server
$lab/bin/pip --quiet install --force-reinstall --no-deps dist/cell_monitor-*.whl
$events/bin/pip --quiet install --force-reinstall --no-deps dist/event_server-*.whl

step "Users, secrets and configuration"
for user in jupyter:jupyterlab event-server:event-server; do
    home=/var/lib/${user#*:}
    id "${user%:*}" >/dev/null 2>&1 || useradd --system --home-dir "$home" "${user%:*}"
    install -d -o "${user%:*}" -m 0700 "$home"
done
install -d -o jupyter /var/lib/jupyterlab/notebooks /etc/jupyterlab
install -d -o event-server /etc/event-server
if [ ! -e /etc/jupyterlab/token ]; then
    umask 077
    openssl rand -hex 32 | tr -d '\n' >/etc/jupyterlab/token
    echo "class1:$(sha256sum </etc/jupyterlab/token | cut -c1-64)" >/etc/event-server/writers
    openssl rand -hex 8 >/root/password
    python -c 'from jupyter_server.auth import passwd; print(passwd(input()))' </root/password >/root/password.hash
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=class1 \
        -addext "subjectAltName=IP:$(hostname --all-ip-addresses | cut -d' ' -f1)" \
        -keyout /etc/nginx/server.key -out /etc/nginx/server.crt 2>/dev/null
    umask 022
fi
cat >/etc/event-server/config.toml <<'CONFIG'
database_path = "/var/lib/event-server/events.sqlite3"
writers_file = "/etc/event-server/writers"
CONFIG
cat >/etc/jupyterlab/jupyter_server_config.py <<CONFIG
c.ServerApp.root_dir = "/var/lib/jupyterlab/notebooks"
c.ServerApp.allow_remote_access = True
c.ServerApp.trust_xheaders = True
c.ServerApp.open_browser = False
c.PasswordIdentityProvider.hashed_password = "$(cat /root/password.hash)"
c.CellMonitor.event_server_url = "http://127.0.0.1:8000/api/v1/events"
c.CellMonitor.token_file = "/etc/jupyterlab/token"
c.CellMonitor.spool_dir = "/var/lib/jupyterlab/spool"
CONFIG
chown -R jupyter: /etc/jupyterlab
chown -R event-server: /etc/event-server

step "Units"
install -m 0644 handwritten/*.service /etc/systemd/system/
install -m 0644 handwritten/nginx.conf /etc/nginx/sites-available/default
systemctl daemon-reload
systemctl --quiet enable jupyterlab event-server nginx
systemctl restart jupyterlab event-server nginx
