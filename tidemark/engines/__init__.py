"""Load engines: how to run one cell, how to read its raw output as requests."""
