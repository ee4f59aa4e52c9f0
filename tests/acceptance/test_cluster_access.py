"""Who reaches a head with a token from another host. The hosts are network namespaces in a box without a way out."""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(420)]
TOOLS = ("unshare", "ip", "mount", "curl")
BOX = """
set -e
mkdir -p /run/netns /tmp/ray
mount -t tmpfs tmpfs /run/netns
mount -t tmpfs -o size=2g tmpfs /dev/shm
mount -t tmpfs -o size=1g tmpfs /tmp/ray
mkdir /tmp/ray/home && export HOME=/tmp/ray/home
ip link set lo up
ip link add br0 type bridge && ip link set br0 up
for n in 1 2; do
  ip netns add h$n
  ip link add v$n type veth peer name eth0 netns h$n
  ip link set v$n master br0 up
  ip -n h$n link set lo up
  ip -n h$n link set eth0 up
  ip -n h$n addr add 10.77.0.$n/24 dev eth0
done
exec bash -c "$1"
"""
CHECKS = """
export RAY_AUTH_MODE=token RAY_raylet_start_wait_time_s=150
head="ip netns exec h1" other="ip netns exec h2" ray="$PYTHON -m ray.scripts.scripts start --num-cpus=1"
ask="curl -s -o /dev/null -m 10 -w %{http_code}" url=http://127.0.0.1:8265/api/jobs/
RAY_AUTH_TOKEN=$TOKEN $head $ray --head --port=6379 --node-ip-address=10.77.0.1 --dashboard-host=127.0.0.1 \
  --object-store-memory=100000000 --disable-usage-stats > /tmp/ray/start.log 2>&1
for i in $(seq 60); do
  right=$($head $ask $url -H "Authorization: Bearer $TOKEN" || true)
  [ "$right" = 200 ] && break
  sleep 1
done
echo "right: $right"
echo "none: $($head $ask $url)"
echo "wrong: $($head $ask $url -H 'Authorization: Bearer 00')"
echo "outside: $($other $ask http://10.77.0.1:8265/api/jobs/ || true)"
for token in "" 0000; do
  export RAY_AUTH_TOKEN=$token
  timeout 80 $other $ray --address=10.77.0.1:6379 --node-ip-address=10.77.0.2 > /tmp/ray/join.log 2>&1 \
    && echo "join '$token': joined" || echo "join '$token': refused"
  grep -o AuthenticationError /tmp/ray/join.log | head -1
done
"""


@pytest.mark.skipif(os.geteuid() != 0 or not all(map(shutil.which, TOOLS)), reason="needs root, ip, curl")
def test_another_host_reaches_neither_the_dashboard_nor_the_cluster_without_the_token():
    environment = os.environ | {"TOKEN": secrets.token_hex(32), "PYTHON": str(Path(sys.executable))}
    unshare = "unshare --mount --pid --fork --mount-proc --net --uts --ipc --kill-child bash -c".split()
    command = ["timeout", "--kill-after=5", "380", *unshare, BOX, "box", CHECKS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    lines = done.stdout.splitlines()
    assert "right: 200" in lines, done.stdout + done.stderr
    assert {"none: 401", "outside: 000", "join '': refused", "join '0000': refused"} <= set(lines), done.stdout
    assert "wrong: 401" in lines or "wrong: 403" in lines, done.stdout
    assert "AuthenticationError" in lines, done.stdout
