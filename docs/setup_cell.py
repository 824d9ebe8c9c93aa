# @title Setup (the same in every notebook: installs kgpc where it is missing) {display-mode: "form"}
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # fewer start-up messages from TensorFlow
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # its faster routines, which some processors must be asked for
REPOSITORY = ""  # where kgpc can be cloned from; empty while it has no public address
if importlib.util.find_spec("kgpc") is None:
    from packaging.version import VERSION_PATTERN, Version

    wheel = re.compile(rf"kgpc-({VERSION_PATTERN})-py3-none-any\.whl", re.VERBOSE | re.IGNORECASE)
    names = sorted(path.name for path in Path().glob("kgpc-*.whl"))
    versions = {name: Version(match[1]) for name in names if (match := wheel.fullmatch(name))}
    renamed = [name for name in names if name not in versions]
    advice = f"Passed over: {', '.join(renamed)}. pip takes a wheel only by its own name, without ' (1)' and the like."
    if renamed:
        print(advice)
    source = max(versions, key=versions.get) if versions else REPOSITORY and f"git+{REPOSITORY}"
    if not source:
        raise ModuleNotFoundError(
            "kgpc is not installed, and no kgpc-*.whl lies beside this notebook. In a clone of the "
            "repository, `python3 start.py lab` opens the notebooks with all that they need."
            + (f" {advice}" if renamed else "")
        )
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)
    importlib.invalidate_caches()
