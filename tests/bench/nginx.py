"""nginx as a plain reverse proxy that checks a bearer token: what any proxy must cost."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.bench.load import Target
from tests.bench.options import Options
from tests.bench.process import free_port, running

TOKEN = "bench-token-of-nginx"

CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 20m;
    client_body_buffer_size 1m;
    # By default a connection ends after 1,000 requests: the load would measure connects.
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    map $http_authorization $is_known {{ default 0; "Bearer {token}" 1; }}
    upstream mock {{
        server 127.0.0.1:{mock};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            if ($is_known = 0) {{ return 401; }}
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""


def nginx_program() -> str | None:
    """Return nginx's path, or None where it isn't installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def nginx(mock: Target, *, options: Options, is_root: bool) -> Iterator[Target | None]:
    """Run nginx before the mock on the server's core; None where it isn't installed."""
    program = nginx_program()
    if program is None:
        yield None
        return
    folder = options.folder / "nginx"
    folder.mkdir(exist_ok=True)
    port = free_port()
    config = folder / "nginx.conf"
    user = "user root;" if is_root else ""
    config.write_text(CONFIG.format(folder=folder, token=TOKEN, mock=mock.port, port=port, user=user))
    command: list[str | Path] = [program, "-p", folder, "-e", "stderr", "-c", config]
    with running(command, cpu=options.server_cpu, log=folder / "output.log") as process:
        process.wait_for_port(port)
        yield Target("nginx", port, process, token=TOKEN)
