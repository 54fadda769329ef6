"""What AnsibleModule itself makes of arguments files: the measure for src/ansible. Run by tests/it/twin.rs.

The first line of stdin is what AnsibleModule is told of the module; each further one is an arguments file. Each is
answered by one line: the result as AnsibleModule prints it, and what it logged.
"""

import contextlib
import io
import json
import sys
import syslog

from ansible.module_utils import basic


def main():
    module = json.loads(sys.stdin.readline())
    module["argument_spec"] = in_order(module["argument_spec"])
    for line in sys.stdin:
        print(json.dumps(answer(module, line)), flush=True)


def in_order(options):
    """Options come as a list: AnsibleModule looks at them in their order."""
    for _, about in options:
        if "options" in about:
            about["options"] = in_order(about["options"])
    return dict(options)


def answer(module, arguments):
    logged = []
    basic.has_journal = False
    syslog.openlog = lambda ident, _, facility: logged.extend([ident, facility >> 3])
    syslog.syslog = lambda _, message: logged.append(message)
    basic._ANSIBLE_PROFILE = "legacy"
    basic._ANSIBLE_ARGS = b'{"ANSIBLE_MODULE_ARGS": ' + arguments.encode() + b"}"
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            Twin(supports_check_mode=True, **module).exit_json(changed=False)
    except Exception:
        # AnsibleModule itself breaks, such as at the int of an infinity.
        return {"result": None, "log": []}
    return {"result": json.loads(printed.getvalue()), "log": logged}


class Twin(basic.AnsibleModule):
    def _log_invocation(self):
        """In the order of the options, not in that in which they came, which is another each time."""
        self.params = {name: self.params[name] for name in self.argument_spec}
        super()._log_invocation()


if __name__ == "__main__":
    main()
