"""Prints one field of /health: `health push.failures_in_row`."""

import functools
import json
import sys
import urllib.error
import urllib.request

try:
    answer = urllib.request.urlopen("http://127.0.0.1:9090/health", timeout=60)
except urllib.error.HTTPError as refusing:
    # 503 has the same body.
    answer = refusing
print(functools.reduce(lambda part, name: part[name], sys.argv[1].split("."), json.load(answer)))
