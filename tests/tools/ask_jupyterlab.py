"""Start JupyterLab, ask it for its page, a notebook and its kernels, and stop it again.

python ask_jupyterlab.py 01_data_exploration.ipynb -m jupyterlab    what Python starts follows the notebook
"""

import json
import socket
import subprocess
import sys
import time
import urllib.request

from jupyter_server.serverapp import list_running_servers

SECONDS = 120  # to wait for a start, for an answer, for the end


def wait_for_server(process, folder=None):
    """Address and token of the one server that notes itself in `folder` (None: the user's), as soon as it answers."""
    end = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            server = next(list_running_servers(folder))
            socket.create_connection(("localhost", server["port"])).close()
            return server["url"], server["token"]
        except (StopIteration, ValueError, OSError):  # its file is not there yet or half written, or nobody listens yet
            time.sleep(0.2)
    process.kill()
    sys.exit(f"Expected JupyterLab to start within {SECONDS} seconds, and it did not.")


def main(notebook, *command):
    process = subprocess.Popen([sys.executable, *command, "--no-browser", "--allow-root"])
    address, token = wait_for_server(process)

    def ask(path, method="GET"):
        request = urllib.request.Request(address + path, method=method, headers={"Authorization": f"token {token}"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.read()

    try:
        ask("lab")
        ask(f"api/contents/notebooks/{notebook}?content=0")
        kernels = json.loads(ask("api/kernelspecs"))["kernelspecs"].values()
    finally:
        ask("api/shutdown", "POST")
        process.wait(SECONDS)
    print(*(kernel["spec"]["display_name"] for kernel in kernels), sep=", ")


if __name__ == "__main__":
    main(*sys.argv[1:])
