"""A viewer as the output of a cell: in Jupyter, behind a proxy of its server, in VS Code, in Colab.

Only the browser knows how the notebook is reached, so that a few lines of script choose the address
there.  Without scripts, the frame has the address that is most likely from here.
"""

from __future__ import annotations

import html
import json
import os
import secrets
import sys
from importlib.util import find_spec

__all__ = ["ancestors", "frame", "hub_path", "is_colab"]

_HUB = "JUPYTERHUB_SERVICE_PREFIX"
# Whose pages show a cell's output: Colab's, and those of VS Code in a browser.
_COLAB = ("https://colab.research.google.com", "https://*.googleusercontent.com")
_VSCODE = ("https://vscode.dev", "https://github.dev", "https://*.vscode-cdn.net")
_SCRIPT = """(async () => {
  const { port, path, proxied } = %s;
  const place = document.getElementById("%s");
  const set = (url) => {
    place.querySelector("a").href = url;
    if (place.querySelector("iframe").src !== url) place.querySelector("iframe").src = url;
  };
  if (window.google && google.colab && google.colab.kernel) {
    set(new URL(path, await google.colab.kernel.proxyPort(port, { cache: true })).href);
    return;
  }
  const vscode = location.protocol === "vscode-webview:" ||
    /[.]vscode-cdn[.]net$/.test(location.hostname);
  if (vscode) return set(`http://localhost:${port}/${path}`);
  const config = document.getElementById("jupyter-config-data");
  const base = config ? JSON.parse(config.textContent).baseUrl : document.body.dataset.baseUrl;
  const local = /^(localhost|127[.][0-9.]+|\\[::1\\])$/.test(location.hostname);
  if (base && (proxied || !local)) set(new URL(`${base}proxy/${port}/${path}`, location.href).href);
})();"""


def frame(address: str, port: int, path: str) -> str:
    """Return the HTML of a cell's output.

    Parameters
    ----------
    address : str
        Of the page, for a browser on this machine.
    port : int
        Of the server.
    path : str
        Of the page, after the server's name and a slash.

    Returns
    -------
    str
        A frame, a link, and a script that sets the address of both where it is another one:

        * in Colab, that of ``google.colab.kernel.proxyPort``;
        * in VS Code, which forwards ports by their number, that at ``localhost``;
        * in Jupyter, if ``jupyter-server-proxy`` is installed or the notebook is not at a name of
          this machine, that at ``proxy/PORT/`` of its server.

    Examples
    --------
    >>> 'src="http://127.0.0.1:81/v/0a/"' in frame('http://127.0.0.1:81/v/0a/', 81, 'v/0a/')
    True
    """
    name = f"nibabel-data-{secrets.token_hex(4)}"
    prefix = hub_path()
    if prefix is not None:
        address = f"{prefix}proxy/{port}/{path}"
    proxied = prefix is not None or find_spec("jupyter_server_proxy") is not None
    known = json.dumps({"port": port, "path": path, "proxied": proxied})
    url = html.escape(address)
    return (
        f'<div id="{name}">\n<iframe src="{url}" title="Neuroglancer" '
        'style="width: 100%; height: 600px; border: 0" '
        'allow="fullscreen; clipboard-write"></iframe>\n'
        f'<p><a href="{url}" target="_blank" rel="noopener">Open in a tab of its own</a>. This '
        "page is alive as long as the kernel that made it: if nothing is seen, run the cell "
        f"again; elsewhere than on the kernel's machine, its port {port} has to be forwarded, or "
        f"jupyter-server-proxy installed.</p>\n</div>\n<script>{_SCRIPT % (known, name)}</script>"
    )


def hub_path() -> str | None:
    """Return the path of this user's server at a JupyterHub; None if this is in none."""
    prefix = os.environ.get(_HUB)
    return f"{prefix.rstrip('/')}/" if prefix else None


def is_colab() -> bool:
    """Return whether this is a kernel of Colab."""
    return "google.colab" in sys.modules


def ancestors() -> tuple[str, ...]:
    """Return the origins of pages, other than of this machine, that show a cell's output."""
    if is_colab():
        return _COLAB
    return _VSCODE if any(name.startswith("VSCODE_") for name in os.environ) else ()
