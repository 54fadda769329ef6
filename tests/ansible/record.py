"""Callback that writes what Ansible itself has of each task: one line of JSON for each result, into the file $RECORD.

What Ansible prints depends on its version and its verbosity; this is what is registered. Works beside any other callback.
"""

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: notification
short_description: Writes each result as a line of JSON
description: [Into the file that the environment variable RECORD names.]
options: {}
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, outcome, result):
        # The names are public from ansible-core 2.19 on.
        host, task = getattr(result, "host", None) or result._host, getattr(result, "task", None) or result._task
        line = {
            "task": task.get_name(),
            "host": host.get_name(),
            "outcome": outcome,
            "time": time.time(),
            "result": getattr(result, "result", None) or result._result,
        }
        with open(os.environ["RECORD"], "a", encoding="utf-8") as record:
            record.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result):
        self._write("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_unreachable(self, result):
        self._write("unreachable", result)

    def v2_runner_on_skipped(self, result):
        self._write("skipped", result)
