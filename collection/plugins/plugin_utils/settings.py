# Copyright: The qcss_scanner authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users can set about the action plugin. The build puts it into the documentation of the modules, as notes."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

SETTINGS = {
    "cache": {
        "description": "Whether the module may run from a cache on the target. If not, every task sends its binary.",
        "type": "bool",
        "default": True,
        "env": [{"name": "QCSS_SCANNER_CACHE"}],
        "ini": [{"section": "qcss_scanner", "key": "cache"}],
        "vars": [{"name": "qcss_scanner_cache"}],
    },
    "cache_folder": {
        "description": "The cache on the target, an absolute path, or one below the home (C(~/)) of the user who runs the"
        " module. It is made when it is missing. This user or root must own it and all folders above it, and nobody else"
        " may write there; else every task sends the binary.",
        "type": "str",
        "default": "~/.cache/qcss_scanner",
        "env": [{"name": "QCSS_SCANNER_CACHE_FOLDER"}],
        "ini": [{"section": "qcss_scanner", "key": "cache_folder"}],
        "vars": [{"name": "qcss_scanner_cache_folder"}],
    },
    "pipelining": {
        "description": "Whether the module is pipelined even where Ansible's own pipelining is off. The cache needs it. Say"
        " false where sudo wants a terminal (C(requiretty)), which spares each task an attempt.",
        "type": "bool",
        "default": True,
        "env": [{"name": "QCSS_SCANNER_PIPELINING"}],
        "ini": [{"section": "qcss_scanner", "key": "pipelining"}],
        "vars": [{"name": "qcss_scanner_pipelining"}],
    },
}
