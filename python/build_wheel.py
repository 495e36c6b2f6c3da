# SPDX-License-Identifier: MIT
"""Builds the wheel: a build backend (PEP 517) that needs only Python.

Includes the library libcupool-engine if available: the file that CUPOOL_ENGINE names, or one from a build
beside this folder. Such a wheel is specific to this system. Without the library the wheel is generic, and the
library is looked up in the system.
"""

import base64
import hashlib
import os
import pathlib
import re
import tarfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
LIBRARY = "libcupool-engine.so.0"
EPOCH = (1980, 1, 1, 0, 0, 0)


def _field(name):
    text = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(rf'^{name} = "(.*)"$', text, re.MULTILINE).group(1)


def _library():
    named = os.environ.get("CUPOOL_ENGINE")
    for path in filter(None, (named, HERE.parent / "build" / "engine" / LIBRARY)):
        if pathlib.Path(path).is_file():
            return pathlib.Path(path)
    if named:
        raise FileNotFoundError(f"CUPOOL_ENGINE names {named}, which is no file")
    return None


def _files():
    for path in sorted((HERE / "cupool").iterdir()):
        if path.suffix == ".py" or path.name == "py.typed":
            yield f"cupool/{path.name}", path.read_bytes()
    library = _library()
    if library:
        yield f"cupool/{LIBRARY}", library.read_bytes()


def _tag():
    return f"py3-none-linux_{os.uname().machine}" if _library() else "py3-none-any"


def _metadata():
    return (f"Metadata-Version: 2.1\nName: cupool\nVersion: {_field('version')}\n"
            f"Summary: {_field('description')}\nLicense: MIT\n"
            f"Requires-Python: {_field('requires-python')}\n").encode()


def _wheel_file():
    pure = "true" if _tag().endswith("any") else "false"
    return (f"Wheel-Version: 1.0\nGenerator: cupool\nRoot-Is-Purelib: {pure}\n"
            f"Tag: {_tag()}\n").encode()


def get_requires_for_build_wheel(config_settings=None):
    return []


def get_requires_for_build_sdist(config_settings=None):
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    version = _field("version")
    info = f"cupool-{version}.dist-info"
    name = f"cupool-{version}-{_tag()}.whl"
    record = []
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        def add(path, data):
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(data)}")

        for path, data in _files():
            add(path, data)
        add(f"{info}/METADATA", _metadata())
        add(f"{info}/WHEEL", _wheel_file())
        record.append(f"{info}/RECORD,,")
        wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD", EPOCH), "\n".join(record) + "\n")
    return name


def build_sdist(sdist_directory, config_settings=None):
    base = f"cupool-{_field('version')}"
    name = f"{base}.tar.gz"
    with tarfile.open(pathlib.Path(sdist_directory) / name, "w:gz") as archive:
        for path in ["pyproject.toml", "build_wheel.py", *(f"cupool/{p.name}" for p in
                                                           sorted((HERE / "cupool").glob("*.py")))]:
            archive.add(HERE / path, f"{base}/{path}")
        archive.add(HERE / "cupool" / "py.typed", f"{base}/cupool/py.typed")
    return name
