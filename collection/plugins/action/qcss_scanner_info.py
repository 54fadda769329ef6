# Copyright: The qcss_scanner authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

from ansible_collections.qcss.scanner.plugins.plugin_utils.dispatcher import Dispatcher


class ActionModule(Dispatcher):
    """Picks the binary for the target, and how it gets there."""
