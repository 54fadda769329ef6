"""Stands in for the script that ansible-test downloads to bring pip into its virtual environments: Python has a pip."""

import ensurepip
import glob
import os
import sys

(wheel,) = glob.glob(os.path.join(os.path.dirname(ensurepip.__file__), "_bundled", "pip-*.whl"))
sys.path.insert(0, wheel)

from pip._internal.cli.main import main  # noqa: E402

NEEDLESS = ("--no-setuptools", "--no-wheel", "setuptools==", "wheel==")
sys.exit(main(["install"] + [argument for argument in sys.argv[1:] if not argument.startswith(NEEDLESS)]))
