# Copyright: The qcss_scanner authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module, a binary, on a target of whatever architecture, with one round trip where that can be.

    shim, pipelined --- the module's result
      | "missing"
    the binary, to the cache
      |
    shim, again ------- the module's result
      | anything else, and the module has not begun
    the binary as ansible-core sends any other

The binary has begun or it has not: the shim says so, and what has begun is never run a second time.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import contextlib
import gzip
import os
import re
import shlex

from ansible import constants as C
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import module_loader
from ansible.utils.display import Display
from ansible.utils.vars import merge_hash

from ansible_collections.qcss.scanner.plugins.plugin_utils.settings import SETTINGS

display = Display()

# What goes to the target: the shim, a binary for each architecture, and their checksums as `sha256sum` writes them. The
# names are unlike any module's, so that a `library` beside the playbook has none of them.
TARGET = os.path.join(os.path.dirname(__file__), "target")
SHIM = "qcss_scanner_shim"
BINARY = "qcss_scanner_"
MARKER = b"<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>"

# The shim's words.
BEGINS = "qcss_scanner begins"
WHY = "qcss_scanner_cache"

# Moved into place in one step, after it was verified. Old releases leave when a new one comes. What is left of the input is
# read to its end, since ssh takes a pipe that closes early for a lost connection.
INSTALL = """
umask 077
fail() {{ rm -f "$new"; cat >/dev/null; exit 1; }}
trap fail HUP INT TERM
new=$(mktemp {folder}/qcss_scanner-new.XXXXXX) || fail
gzip -dc >"$new" || fail
case $(sha256sum <"$new") in {checksum}*) ;; *) fail ;; esac
chmod 0700 "$new" && mv -f "$new" {folder}/qcss_scanner-{checksum} || fail
find {folder} -maxdepth 1 -name 'qcss_scanner-*' -type f -mtime +30 -exec rm -f {{}} + || :
"""

C.config.initialize_plugin_configuration_definitions("action", "qcss.scanner", SETTINGS)


class Dispatcher(ActionBase):
    """The action plugin of both modules, which are one binary and differ by the name that they are called by."""

    _folder = ""

    def run(self, tmp=None, task_vars=None):
        self._supports_check_mode = True
        self._supports_async = True
        result = super(Dispatcher, self).run(tmp, task_vars)
        del tmp
        if task_vars is None:
            task_vars = {}
        module_loader.add_directory(TARGET)
        wrap_async = self._task.async_val and not self._connection.has_native_async
        if wrap_async:
            self._say("the cache is not used, since the task is async")
            ran, told = None, {}
        else:
            ran, told = self._run_from_cache(task_vars)
        if ran is None:
            ran = self._run_as_sent(told.get("architecture"), task_vars, wrap_async)
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return merge_hash(result, ran)

    def _run_from_cache(self, task_vars):
        """The module's result, or None when it has not begun; and what the shim told."""
        if not self._setting("cache", task_vars):
            return None, {}
        self._folder = self._setting("cache_folder", task_vars)
        with self._pipelining(self._setting("pipelining", task_vars)) as possible:
            if not possible:
                self._say("the cache is not used, since there is no pipelining")
                return None, {}
            ran = self._execute(SHIM, task_vars)
            if ran.get(WHY) == "missing" and self._install(ran.get("architecture"), ran.get("folder")):
                ran = self._execute(SHIM, task_vars)
        if WHY in ran:
            self._say("the cache is not used, since %s (%s)" % (ran[WHY], ran.get("folder")))
            return None, ran
        if self._is_refusal(ran):
            self._say("the cache is not used, since this was refused: %s" % ran.get("module_stderr"))
            return None, {}
        return ran, {}

    def _run_as_sent(self, architecture, task_vars, wrap_async):
        """As ansible-core runs a binary module."""
        if not architecture:
            told = self._low_level_execute_command("uname -m", sudoable=False)
            if told["rc"] != 0:
                return dict(told, failed=True, msg="cannot tell the architecture of this host, `uname -m` failed")
            architecture = told["stdout"].strip()
        known = checksums()
        if architecture not in known:
            message = "no binary for the architecture of this host, it is for %s only: `%s`"
            return {"failed": True, "msg": message % (" and ".join(sorted(known)), architecture)}
        return self._execute(BINARY + architecture, task_vars, wrap_async=wrap_async)

    def _execute(self, name, task_vars, **how):
        return self._execute_module(
            module_name="ansible.legacy." + name, module_args=dict(self._task.args), task_vars=task_vars, **how
        )

    def _install(self, architecture, folder):
        """Whether the binary is in the cache now."""
        if architecture not in checksums() or not folder:
            return False
        self._say("sending the binary for %s to %s" % (architecture, folder))
        with open(os.path.join(TARGET, BINARY + architecture), "rb") as binary:
            packed = gzip.compress(binary.read())
        script = INSTALL.strip().format(folder=shlex.quote(folder), checksum=checksums()[architecture])
        done = self._low_level_execute_command(script, in_data=packed)
        if done["rc"] != 0:
            self._say("cannot fill the cache: %s" % (done["stderr"] or done["stdout"]))
        return done["rc"] == 0

    @contextlib.contextmanager
    def _pipelining(self, wanted):
        """Switches it on for a while, if wanted; whether it is on."""
        before = self._switch_pipelining(True) if wanted else None
        try:
            yield self._is_pipelining_enabled("new")
        finally:
            if wanted:
                self._switch_pipelining(before)

    def _switch_pipelining(self, on):
        """What it was before."""
        try:
            before = self._connection.get_option("pipelining")
            self._connection.set_option("pipelining", on)
        except (AttributeError, KeyError):
            # A connection that asks the play, in a copy that depends on the version of ansible-core.
            before = self._play_context.pipelining
            self._play_context.pipelining = self._connection._play_context.pipelining = on
        return before

    def _is_refusal(self, ran):
        """Whether sudo or a shell says that it did not let the shim begin."""
        output = ran.get("module_stdout")
        if output is None or BEGINS in output or ran.get("rc") in (None, 0):
            return False
        become = self._connection.become.name.rpartition(".")[2] if self._connection.become else "sudo"
        said = "%s\n%s" % (output, ran.get("module_stderr", ""))
        return bool(re.search(r"(?m)^(\S*/)?(\w*sh|%s): " % re.escape(become), said))

    def _setting(self, name, task_vars):
        """A setting for the target of the task, from its variables, the environment, or ansible.cfg."""
        variables = task_vars.get("ansible_delegated_vars", {}).get(self._task.delegate_to, task_vars)
        names = [variable["name"] for variable in SETTINGS[name]["vars"] if variable["name"] in variables]
        given = dict((name, self._templar.template(variables[name])) for name in names)
        return C.config.get_config_value(name, plugin_type="action", plugin_name="qcss.scanner", variables=given)

    def _say(self, text):
        display.v("qcss_scanner: %s" % text, host=self._task.delegate_to or self._play_context.remote_addr)

    def _update_module_args(self, module_name, module_args, task_vars, **more):
        """The module goes by the name that the task has for it, not by that of the file that is sent."""
        super(Dispatcher, self)._update_module_args(module_name, module_args, task_vars, **more)
        module_args["_ansible_module_name"] = self._task.action

    def _low_level_execute_command(self, cmd, sudoable=True, in_data=None, **more):
        """Completes the shim, which is here as ansible-core made it of the file and the arguments."""
        if in_data is not None:
            in_data = completed(to_bytes(in_data), self._folder)
        return super(Dispatcher, self)._low_level_execute_command(cmd, sudoable=sudoable, in_data=in_data, **more)


def completed(data, folder):
    """The shim with all that it needs, ready for the shell. Anything else is left as it is."""
    with open(os.path.join(TARGET, SHIM + ".sh"), "rb") as shim:
        before, after = shim.read().split(MARKER)
    if not (data.startswith(before) and data.endswith(after)):
        return data
    # Between quotes in the shell, and the same text to whoever reads JSON.
    arguments = data[len(before) : -len(after)].replace(b"'", b"\\u0027")
    known = "".join(" %s=%s " % pair for pair in sorted(checksums().items()))
    after = after.replace(b"@FOLDER@", to_bytes(shlex.quote(folder))).replace(b"@CHECKSUMS@", to_bytes(shlex.quote(known)))
    return before + arguments + after


def checksums():
    """Of each architecture."""
    with open(os.path.join(TARGET, "checksums.txt"), "rb") as file:
        lines = [to_text(line).split() for line in file]
    return dict((name[len(BINARY) :], checksum) for checksum, name in lines)
