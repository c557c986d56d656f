"""llama.cpp's own HTTP server, from its wheel, on loopback.

    python llama_server.py MODEL.gguf PORT NAME SECONDS

Ends after SECONDS, with its standard input, or by a signal. Run by its own interpreter.
"""

import os
import select
import sys
import time

import xllamacpp

SLOTS, CONTEXT_PER_SLOT = 8, 1024


def main():
    """Serve until told to stop."""
    path, port, name, seconds = sys.argv[1:]
    settings = xllamacpp.CommonParams()
    settings.model.path = path
    settings.hostnames = ["127.0.0.1"]
    settings.port = int(port)
    settings.n_parallel = SLOTS
    settings.n_ctx = SLOTS * CONTEXT_PER_SLOT
    settings.endpoint_metrics = True
    settings.model_alias = {name}
    # More threads spin for work on the cores that the load engine needs.
    settings.cpuparams.n_threads = 1
    settings.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    deadline = time.monotonic() + float(seconds)
    while (left := deadline - time.monotonic()) > 0:
        readable, _, _ = select.select([sys.stdin], [], [], left)
        if readable and not os.read(sys.stdin.fileno(), 1):
            break
    os._exit(0)


if __name__ == "__main__":
    main()
