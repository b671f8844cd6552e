"""The scripts of docs/, which are no package, as modules."""

import importlib.util
import sys
from types import ModuleType

import pytest
from blocks import DOCS


def load_doc_script(name: str) -> ModuleType:
    """A script by its name; it may import those beside it."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(DOCS), *sys.path])
        spec.loader.exec_module(module)
    return module
