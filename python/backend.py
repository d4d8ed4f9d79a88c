"""Builds the wheel of the Python module (PEP 517): CMake compiles it against the library in `build`, which is brought
up to date first, and what it installs is packed. Nothing but pip and CMake is needed, and nothing is written beside
the git-ignored build folder. QKV_BUILD names another finished build of the library to be used as it is."""

import base64
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADERS = "" if Path(sysconfig.get_path("include"), "Python.h").exists() else "python3-dev"
LIBRARY = f'root=$PWD; source cmake/setup.sh; install_packages pybind11-dev {HEADERS}; build "$root/build" libqkv'


def _run(*command):
    subprocess.run(command, cwd=ROOT, check=True)


def _install(folder):
    library = os.environ.get("QKV_BUILD")
    if not library:
        _run("bash", "-euo", "pipefail", "-c", LIBRARY)
        library = ROOT / "build"
    module = Path(library) / "python"
    # Anew: the Python that asks may be another than last time.
    _run("cmake", "--fresh", "-S", "python", "-B", module, "-G", "Ninja", f"-Dqkv_DIR={library}",
         f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Release")
    _run("cmake", "--build", module)
    _run("cmake", "--install", module, "--prefix", folder)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    version = re.search(r'QKV_VERSION "([0-9.]+)"', (ROOT / "include/qkv/version.h").read_text())[1]
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    tag = f"{python}-{python}-{re.sub('[-.]', '_', sysconfig.get_platform())}"
    info, name = f"qkv-{version}.dist-info", f"qkv-{version}-{tag}.whl"
    with tempfile.TemporaryDirectory() as folder:
        _install(folder)
        files = {str(path.relative_to(folder)): path.read_bytes()
                 for path in sorted(Path(folder).rglob("*")) if path.is_file()}
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: qkv\nVersion: {version}\nRequires-Python: >=3.11\nRequires-Dist: numpy\n"
        "Summary: Train transformers from scratch on a CPU\nLicense: MIT\n").encode()
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: qkv\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    record = f"{info}/RECORD"
    files[record] = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')},{len(content)}\n"
        for path, content in files.items()).encode() + f"{record},,\n".encode()
    with zipfile.ZipFile(Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)
    return name
